// The client of handshakes.py: connections, each with one request, one after the other on so many workers.
//
//	handshakes MODE PORT SECONDS WORKERS
//
// MODE is plain, full (no ticket) or resumed (the last ticket). Prints how many were made, and how many resumed.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var request = []byte("GET /1k HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

func main() {
	mode, address := os.Args[1], "127.0.0.1:"+os.Args[2]
	seconds, _ := strconv.ParseFloat(os.Args[3], 64)
	workers, _ := strconv.Atoi(os.Args[4])
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var made, resumed atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			config := &tls.Config{
				InsecureSkipVerify: true,
				ServerName:         "localhost",
				MinVersion:         tls.VersionTLS13,
				CurvePreferences:   []tls.CurveID{tls.X25519},
			}
			if mode == "resumed" {
				config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
			}
			for time.Now().Before(until) {
				isResumed, err := ask(mode, address, config)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				made.Add(1)
				if isResumed {
					resumed.Add(1)
				}
			}
		}()
	}
	all.Wait()
	fmt.Println(made.Load(), resumed.Load())
}

func ask(mode, address string, config *tls.Config) (bool, error) {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		return false, err
	}
	defer raw.Close()
	stream, isResumed := raw, false
	if mode != "plain" {
		secured := tls.Client(raw, config)
		if err := secured.Handshake(); err != nil {
			return false, err
		}
		stream, isResumed = secured, secured.ConnectionState().DidResume
	}
	if _, err := stream.Write(request); err != nil {
		return false, err
	}
	answer, err := io.ReadAll(stream)
	if err == nil && (len(answer) < 12 || string(answer[9:12]) != "200") {
		err = fmt.Errorf("no answer: %.60q", answer)
	}
	return isResumed, err
}
