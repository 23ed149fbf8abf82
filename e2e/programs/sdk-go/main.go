package main

import (
	"os"
	"time"

	"github.com/grafana/pyroscope-go"
)

//go:noinline
func burnCpuInGo(d time.Duration) (x int) {
	for t := time.Now(); time.Since(t) < d; {
		for i := 0; i < 1e5; i++ {
			x += i * i
		}
	}
	return
}

func main() {
	p, err := pyroscope.Start(pyroscope.Config{ApplicationName: "sdk.go", ServerAddress: os.Getenv("URL"), UploadRate: 3 * time.Second,
		Tags: map[string]string{"lang": "go"}, ProfileTypes: []pyroscope.ProfileType{pyroscope.ProfileCPU, pyroscope.ProfileAllocSpace, pyroscope.ProfileGoroutines}})
	if err != nil {
		panic(err)
	}
	burnCpuInGo(8 * time.Second)
	p.Stop()
}
