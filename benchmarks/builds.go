package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func init() { addCommand(5, "builds", measureBuilds) }

const builds = 10

// measureBuilds measures Get in several builds that differ only in where the linker puts functions.
func measureBuilds(m measuring) (string, error) {
	folder, err := os.MkdirTemp("", "builds")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	ns := regexp.MustCompile(`(?m)^Benchmark(\S+) 1 (\S+) ns/op`)
	var ratios []float64
	for i := range builds {
		program := filepath.Join(folder, "build")
		if out, err := exec.Command("go", "build", "-ldflags=-randlayout="+strconv.Itoa(i+1), "-o", program, ".").CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build: %w: %s", err, out)
		}
		out, err := exec.Command(program, "-bench", "-rounds", strconv.Itoa(m.rounds), "-slice", m.slice.String(), "-heap", strconv.Itoa(m.heap), "-only", "Get, 1 of 3").Output()
		if err != nil {
			return "", err
		}
		times := map[string]float64{}
		for _, found := range ns.FindAllStringSubmatch(string(out), -1) {
			if times[found[1]], err = strconv.ParseFloat(found[2], 64); err != nil {
				return "", err
			}
		}
		ratios = append(ratios, times["Get,_1_of_3/taskscope_Get"]/times["Get,_1_of_3/context.Value"])
	}
	slices.Sort(ratios)
	var all []string
	for _, r := range ratios {
		all = append(all, fmt.Sprintf("%.2f", r))
	}
	return fmt.Sprintf("\n## Get in %d builds\n\nOf the same code, with functions in an order that the linker draws (-randlayout).\n\n| | × context.Value | to reach |\n|---|---|---|\n| median | %.2f | %s |\n| the slowest | %.2f | %s |\n| all | %s | |\n",
		builds, median(ratios), strings.Trim(verdict(median(ratios), 0.36), " ()"), ratios[builds-1], strings.Trim(verdict(ratios[builds-1], 0.40), " ()"), strings.Join(all, ", ")), nil
}
