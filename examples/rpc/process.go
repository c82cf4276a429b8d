package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// A process is this program, started again with one of the services.
type process struct {
	cmd    *exec.Cmd
	input  io.Closer // it ends when this is closed
	output *bufio.Reader
	addr   string
}

func start(service string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self, append([]string{service}, args...)...)}
	p.cmd.Stderr = os.Stderr
	input, err1 := p.cmd.StdinPipe()
	output, err2 := p.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, p.cmd.Start()); err != nil {
		return nil, err
	}
	p.input, p.output = input, bufio.NewReader(output)
	addr, err := p.output.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the service %s doesn't start: %w", service, err)
	}
	p.addr = strings.TrimSpace(addr)
	return p, nil
}

// stop ends the process, and appends what it has logged to lines.
func (p *process) stop(lines io.Writer) error {
	err := p.input.Close()
	_, readErr := io.Copy(lines, p.output)
	return errors.Join(err, readErr, p.cmd.Wait())
}
