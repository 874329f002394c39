// Command pod is what pods run in these tests: an HTTP server that behaves as a good pod should.
//
// It serves on each address of POD_IPS (or on --address) at --port. Every answer carries `x-pod` (POD_NAME, or the
// address), `x-arrived` (nanoseconds since 1970, when the request was read) and `x-uid` (POD_UID). SIGTERM: it goes on
// serving for --linger, as proxies learn of its end a moment after it does, then takes no new connection, finishes
// what it has and exits; it prints when that begins. `/slow?ms=N` answers after N ms; `/unready` and `/ready` change what `/healthz` says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// stopSecondsMax bounds how long requests under way may take after --linger.
const stopSecondsMax = 20

type pod struct {
	name, uid string
	isReady   atomic.Bool
}

func main() {
	address := flag.String("address", os.Getenv("POD_IPS"), "addresses to serve on, separated by commas")
	port := flag.Int("port", 8080, "port to serve on")
	linger := flag.Duration("linger", 3*time.Second, "time from SIGTERM to the end of accepting")
	start := flag.Duration("start", 0, "time from the start to being ready")
	flag.Parse()
	// Hundreds of these share a machine, and none has much to do.
	runtime.GOMAXPROCS(1)
	if err := serve(strings.Split(*address, ","), *port, *linger, *start); err != nil {
		fmt.Fprintln(os.Stderr, "pod: "+err.Error())
		os.Exit(1)
	}
}

func serve(addresses []string, port int, linger, start time.Duration) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	one := &pod{name: os.Getenv("POD_NAME"), uid: os.Getenv("POD_UID")}
	if one.name == "" {
		one.name = addresses[0]
	}
	one.isReady.Store(start == 0)
	if start > 0 {
		time.AfterFunc(start, func() { one.isReady.Store(true) })
	}
	server := &http.Server{Handler: one, ReadHeaderTimeout: time.Minute}
	failed := make(chan error, len(addresses))
	for _, address := range addresses {
		listener, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		}()
	}
	select {
	case err := <-failed:
		return err
	case <-told:
	}
	time.Sleep(linger)
	fmt.Println("closed", time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(context.Background(), stopSecondsMax*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

func (p *pod) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	head := answer.Header()
	head.Set("x-arrived", strconv.FormatInt(time.Now().UnixNano(), 10))
	head.Set("x-pod", p.name)
	head.Set("x-uid", p.uid)
	switch request.URL.Path {
	case "/healthz":
		if !p.isReady.Load() {
			answer.WriteHeader(http.StatusServiceUnavailable)
		}
	case "/ready":
		p.isReady.Store(true)
	case "/unready":
		p.isReady.Store(false)
	case "/slow":
		millis, _ := strconv.Atoi(request.URL.Query().Get("ms"))
		time.Sleep(time.Duration(millis) * time.Millisecond)
	}
	_, _ = fmt.Fprintln(answer, p.name)
}
