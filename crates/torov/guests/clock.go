// Reads the clock as often as it is told, and checks that time does not go back.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	last := time.Now()
	for at := 0; at < rounds; at++ {
		now := time.Now()
		if now.Sub(last) < 0 {
			fmt.Println(last, now)
			os.Exit(1)
		}
		last = now
	}
	fmt.Println("ok")
}
