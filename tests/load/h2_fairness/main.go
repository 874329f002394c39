// One HTTP/2 connection with one large download and many small requests; h2_fairness.py says what for.
//
// Usage: h2_fairness -url URL [-ca FILE -name NAME] [-large PATH] [-small PATH] [-streams N] [-seconds N] [-rate BYTES]
// Prints one JSON object. The standard library only.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var (
	base    = flag.String("url", "", "where the proxy is: http:// for plain text, https:// for TLS")
	ca      = flag.String("ca", "", "PEM file of the authority")
	name    = flag.String("name", "", "name of the server in its certificate")
	large   = flag.String("large", "/bytes/100000000", "the download")
	small   = flag.String("small", "/bytes/100", "what the small requests ask for")
	streams = flag.Int("streams", 99, "small requests at once")
	rate    = flag.Float64("rate", 0, "bytes a second that the connection brings at most; 0: all it can")
	seconds = flag.Float64("seconds", 2, "of small requests alone, and beside a download that is not read")
)

// A phase's small requests. Times are in milliseconds.
type figures struct {
	Requests    int     `json:"requests"`
	FewestOfOne int     `json:"fewest_of_one_stream"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	Max         float64 `json:"max_ms"`
}

type report struct {
	Alone           figures `json:"alone"`
	Beside          figures `json:"beside_download"`
	BesideHeld      figures `json:"beside_held_download"`
	DownloadAlone   float64 `json:"download_alone_seconds"`
	DownloadBeside  float64 `json:"download_beside_seconds"`
	DownloadedBytes int64   `json:"downloaded_bytes"`
	Connections     int     `json:"connections"`
}

// A client that notes each connection it uses: all must be one.
type client struct {
	http  *http.Client
	mutex sync.Mutex
	used  map[string]bool
}

// A connection that brings so many bytes a second at most, as a slow line does.
type slowLine struct {
	net.Conn
	free time.Time
}

func (l *slowLine) Read(into []byte) (int, error) {
	count, err := l.Conn.Read(into[:min(len(into), 16384)])
	now := time.Now()
	// What a sleep was too long is made up for, but no longer idleness.
	if earliest := now.Add(-5 * time.Millisecond); l.free.Before(earliest) {
		l.free = earliest
	}
	l.free = l.free.Add(time.Duration(float64(count) / *rate * float64(time.Second)))
	time.Sleep(l.free.Sub(now))
	return count, err
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	stream, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil || *rate == 0 {
		return stream, err
	}
	return &slowLine{Conn: stream}, nil
}

func newClient() (*client, error) {
	settings := &tls.Config{ServerName: *name}
	if *ca != "" {
		text, err := os.ReadFile(*ca)
		if err != nil {
			return nil, err
		}
		settings.RootCAs = x509.NewCertPool()
		settings.RootCAs.AppendCertsFromPEM(text)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{DialContext: dial, Protocols: protocols, TLSClientConfig: settings, DisableCompression: true}
	return &client{http: &http.Client{Transport: transport}, used: map[string]bool{}}, nil
}

func (c *client) get(path string) (*http.Response, error) {
	trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.used[got.Conn.LocalAddr().String()] = true
	}}
	request, err := http.NewRequest(http.MethodGet, *base+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK || answer.ProtoMajor != 2 {
		answer.Body.Close()
		return nil, fmt.Errorf("%s was answered with %s %s", path, answer.Proto, answer.Status)
	}
	return answer, nil
}

func (c *client) read(path string) (int64, error) {
	answer, err := c.get(path)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	return io.Copy(io.Discard, answer.Body)
}

// Small requests on every stream until `during` returns. Only those that began before count.
func (c *client) smalls(during func() error) (figures, error) {
	var over atomic.Bool
	times, failures := make([][]float64, *streams), make([]error, *streams)
	var group sync.WaitGroup
	for at := range *streams {
		group.Add(1)
		go func() {
			defer group.Done()
			for !over.Load() {
				begin := time.Now()
				if _, err := c.read(*small); err != nil {
					failures[at] = err
					return
				}
				times[at] = append(times[at], float64(time.Since(begin).Microseconds())/1000)
			}
		}()
	}
	err := during()
	over.Store(true)
	group.Wait()
	if err = errors.Join(append(failures, err)...); err != nil {
		return figures{}, err
	}
	found := figures{FewestOfOne: len(times[0])}
	all := []float64{}
	for _, one := range times {
		found.FewestOfOne = min(found.FewestOfOne, len(one))
		all = append(all, one...)
	}
	slices.Sort(all)
	found.Requests, found.Max = len(all), all[len(all)-1]
	found.P50, found.P99 = all[len(all)/2], all[len(all)*99/100]
	return found, nil
}

func run() (report, error) {
	var found report
	c, err := newClient()
	if err != nil {
		return found, err
	}
	if _, err = c.read(*small); err != nil {
		return found, err
	}
	pause := time.Duration(*seconds * float64(time.Second))
	download := func(took *float64) error {
		begin := time.Now()
		count, err := c.read(*large)
		found.DownloadedBytes, *took = count, time.Since(begin).Seconds()
		return err
	}
	if found.Alone, err = c.smalls(func() error { time.Sleep(pause); return nil }); err != nil {
		return found, fmt.Errorf("small requests alone: %w", err)
	}
	if err = download(&found.DownloadAlone); err != nil {
		return found, fmt.Errorf("download alone: %w", err)
	}
	if found.Beside, err = c.smalls(func() error { return download(&found.DownloadBeside) }); err != nil {
		return found, fmt.Errorf("beside the download: %w", err)
	}
	// One that nobody reads fills its own window and must leave the connection's to the others.
	held, err := c.get(*large)
	if err != nil {
		return found, fmt.Errorf("the held download: %w", err)
	}
	defer held.Body.Close()
	if found.BesideHeld, err = c.smalls(func() error { time.Sleep(pause); return nil }); err != nil {
		return found, fmt.Errorf("beside a held download: %w", err)
	}
	found.Connections = len(c.used)
	return found, nil
}

func main() {
	flag.Parse()
	found, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	text, _ := json.Marshal(found)
	fmt.Println(string(text))
}
