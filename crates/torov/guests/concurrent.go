// Goroutines on several threads, a channel, timers, the collector, a signal and a fault that is caught.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func caught() (what string) {
	defer func() { what = fmt.Sprint(recover()) }()
	var nowhere *int
	*nowhere = 1
	return "nothing"
}

func main() {
	runtime.GOMAXPROCS(4)
	var group sync.WaitGroup
	sums := make(chan int, 8)
	for worker := 0; worker < 8; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			sum := 0
			for i := 0; i < 20000; i++ {
				piece := make([]byte, 64+i%100)
				sum += len(piece) + worker
			}
			sums <- sum
		}(worker)
	}
	group.Wait()
	close(sums)
	total := 0
	for sum := range sums {
		total += sum
	}
	runtime.GC()
	select {
	case <-time.After(time.Millisecond):
	}
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, syscall.SIGUSR1)
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		fmt.Println(err)
	}
	fmt.Println(total, <-arrived)
	fmt.Println(caught())
}
