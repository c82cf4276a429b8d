//go:build !linux

package main

import "time"

// cpuTime isn't measured here.
func cpuTime() time.Duration { return 0 }

// sleep is time.Sleep.
func sleep(d time.Duration) { time.Sleep(d) }
