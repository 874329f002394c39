// Command parts answers what Coraza and libinjection-go make of single values.
//
// Frames on stdin: kind (1 byte), length (4 bytes, little endian), payload. Answers on stdout:
//
//	't' value            -> for each name of the argument list: length, transformed value
//	's' value            -> length, fingerprint (length 0: no injection)
//	'x' value            -> one byte, 0 or 1
//	'j','u','m','X' body -> length, one line per finding (for 'm': Content-Type, NUL, body)
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/libinjection-go"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func put(out *bufio.Writer, value string) {
	var size [4]byte
	binary.LittleEndian.PutUint32(size[:], uint32(len(value)))
	out.Write(size[:])
	out.WriteString(value)
}

func transformer(names []string) func(string) []string {
	var rules strings.Builder
	rules.WriteString("SecRuleEngine DetectionOnly\n")
	for i, name := range names {
		fmt.Fprintf(&rules, "SecRule ARGS_GET:v \"@unconditionalMatch\" \"id:%d,phase:1,pass,log,t:none,t:%s\"\n", i+1, name)
	}
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(rules.String()))
	check(err)
	return func(value string) []string {
		tx := waf.NewTransaction()
		defer tx.Close()
		tx.AddGetRequestArgument("v", value)
		tx.ProcessRequestHeaders()
		values := make([]string, len(names))
		for _, matched := range tx.MatchedRules() {
			values[matched.Rule().ID()-1] = matched.MatchedDatas()[0].Value()
		}
		return values
	}
}

func bodies() func(kind byte, body string) string {
	directives := `SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRequestBodyLimit 134217728
SecRequestBodyInMemoryLimit 134217728
SecArgumentsLimit 1000
SecRequestBodyJsonDepthLimit 64
SecRule REQUEST_HEADERS:X-Kind "@streq j" "id:1,phase:1,pass,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:X-Kind "@streq u" "id:2,phase:1,pass,ctl:requestBodyProcessor=URLENCODED"
SecRule REQUEST_HEADERS:X-Kind "@streq m" "id:3,phase:1,pass,ctl:requestBodyProcessor=MULTIPART"
SecRule REQUEST_HEADERS:X-Kind "@streq X" "id:4,phase:1,pass,ctl:requestBodyProcessor=XML"
`
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(directives))
	check(err)
	return func(kind byte, body string) string {
		tx := waf.NewTransaction()
		defer tx.Close()
		contentType := "text/plain"
		if kind == 'm' {
			contentType, body, _ = strings.Cut(body, "\x00")
		}
		tx.ProcessURI("/", "POST", "HTTP/1.1")
		tx.AddRequestHeader("Content-Type", contentType)
		tx.AddRequestHeader("X-Kind", string(kind))
		tx.ProcessRequestHeaders()
		_, _, err := tx.WriteRequestBody([]byte(body))
		check(err)
		_, err = tx.ProcessRequestBody()
		check(err)
		v := tx.(plugintypes.TransactionState).Variables()
		var lines []string
		all := func(what string, found []types.MatchData) {
			for _, data := range found {
				lines = append(lines, fmt.Sprintf("%s %x=%x", what, data.Key(), data.Value()))
			}
		}
		all("arg", v.ArgsPost().FindAll())
		all("file", v.Files().FindAll())
		all("field", v.FilesNames().FindAll())
		all("header", v.MultipartPartHeaders().FindAll())
		all("xml", v.RequestXML().FindAll())
		lines = append(lines, "size "+v.FilesCombinedSize().Get())
		lines = append(lines, "strict "+v.MultipartStrictError().Get())
		sort.Strings(lines)
		failed := v.RequestBodyError().Get()
		lines = append(lines, "error "+failed+" "+v.RequestBodyErrorMsg().Get())
		return strings.Join(lines, "\n")
	}
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer out.Flush()
	transform := transformer(os.Args[1:])
	process := bodies()
	for {
		var head [5]byte
		if _, err := io.ReadFull(in, head[:]); err == io.EOF {
			return
		} else {
			check(err)
		}
		payload := make([]byte, binary.LittleEndian.Uint32(head[1:]))
		_, err := io.ReadFull(in, payload)
		check(err)
		value := string(payload)
		switch head[0] {
		case 't':
			for _, result := range transform(value) {
				put(out, result)
			}
		case 's':
			found, fingerprint := libinjection.IsSQLi(value)
			if !found {
				fingerprint = ""
			}
			put(out, fingerprint)
		case 'x':
			if libinjection.IsXSS(value) {
				out.WriteByte(1)
			} else {
				out.WriteByte(0)
			}
		case 'j', 'u', 'm', 'X':
			put(out, process(head[0], value))
		}
		if in.Buffered() == 0 {
			out.Flush()
		}
	}
}
