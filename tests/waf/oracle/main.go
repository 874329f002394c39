// Oracle tells what Coraza makes of requests: which rules match, with which scores, and whether one refuses it.
//
// It reads requests as lines of JSON and writes a line for each; ../README.md describes both. With -bench it writes how
// much CPU each costs instead. Nothing here is needed to run Vanne.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/corazawaf/coraza/v3"
)

// No body of a test is as large as this, times two for base64.
const lineBytesMax = 64 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run() error {
	config := coraza.NewWAFConfig()
	flag.Func("rules", "a file of SecLang; in the order of the command line", func(path string) error {
		config = config.WithDirectivesFromFile(path)
		return nil
	})
	flag.Func("directive", "SecLang; in the order of the command line", func(text string) error {
		config = config.WithDirectives(text)
		return nil
	})
	rounds := flag.Int("bench", 0, "transactions of which each request's CPU time is the mean, best of 5")
	flag.Parse()
	waf, err := coraza.NewWAF(config)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineBytesMax)
	out := bufio.NewWriter(os.Stdout)
	answers := json.NewEncoder(out)
	answers.SetEscapeHTML(false)
	for lines.Scan() {
		var request Request
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			return fmt.Errorf("%w in %q", err, lines.Text())
		}
		if *rounds > 0 {
			err = answers.Encode(Cost{ID: request.ID, Microseconds: cost(waf, &request, *rounds)})
		} else {
			err = answers.Encode(judge(waf, &request))
		}
		// A peer that writes one request at a time waits for its answer.
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}
