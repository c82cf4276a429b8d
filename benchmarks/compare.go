package main

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

func init() {
	children["allocs"] = func(measuring) error { return compareAllocs(flag.Arg(1), flag.Arg(2)) }
}

// compareAllocs prints the rows of taskscope that allocate more often in one file of results, as -bench
// writes them, than in another. If there are any it returns an error.
func compareAllocs(base, head string) error {
	before, err := leastAllocs(base)
	if err != nil {
		return err
	}
	after, err := leastAllocs(head)
	if err != nil {
		return err
	}
	more := 0
	for _, row := range slices.Sorted(maps.Keys(after)) {
		was, ok := before[row]
		// Where much is allocated, some of it depends on what pools have.
		if ok && strings.Contains(row, "taskscope") && after[row] > was+0.5+was/100 {
			fmt.Printf("allocates more: %s: %.1f, and it was %.1f\n", row, after[row], was)
			more++
		}
	}
	if more > 0 {
		return fmt.Errorf("rows that allocate more than at BASE: %d", more)
	}
	fmt.Println("no row allocates more than at BASE")
	return nil
}

// leastAllocs returns the least allocs/op of each row in a file.
func leastAllocs(file string) (map[string]float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	least := map[string]float64{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[len(words)-1] != "allocs/op" {
			continue
		}
		n, err := strconv.ParseFloat(words[len(words)-2], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if was, ok := least[words[0]]; !ok || n < was {
			least[words[0]] = n
		}
	}
	return least, lines.Err()
}
