package main

import (
	"syscall"
	"time"
)

// cpuTime returns the CPU time of this process, the system's on its behalf included.
func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// sleep is time.Sleep to some 50 µs, where that of the runtime may be late by a millisecond. It
// occupies a thread.
func sleep(d time.Duration) {
	if d > 0 {
		t := syscall.NsecToTimespec(d.Nanoseconds())
		_ = syscall.Nanosleep(&t, nil)
	}
}
