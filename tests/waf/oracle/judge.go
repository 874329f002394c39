package main

import (
	"encoding/json"
	"strconv"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
)

// Bytes are a string of JSON whose characters, U+0000 to U+00FF, each stand for a byte.
type Bytes string

func (bytes *Bytes) UnmarshalJSON(text []byte) error {
	var decoded string
	if err := json.Unmarshal(text, &decoded); err != nil {
		return err
	}
	out := make([]byte, 0, len(decoded))
	for _, char := range decoded {
		if char > 0xFF {
			return strconv.ErrRange
		}
		out = append(out, byte(char))
	}
	*bytes = Bytes(out)
	return nil
}

// Response is what the backend answered.
type Response struct {
	Status  int        `json:"status"`
	Headers [][2]Bytes `json:"headers"`
	Body    []byte     `json:"body"`
}

// Request is a line that is read.
type Request struct {
	ID       string     `json:"id"`
	Method   Bytes      `json:"method"`
	URI      Bytes      `json:"uri"`
	Version  Bytes      `json:"version"`
	Headers  [][2]Bytes `json:"headers"`
	Body     []byte     `json:"body"`
	Response *Response  `json:"response"`
}

// Interruption says which rule refused a request, and how.
type Interruption struct {
	ID     int `json:"id"`
	Status int `json:"status"`
}

// Answer is a line that is written.
type Answer struct {
	ID           string         `json:"id"`
	Matched      []int          `json:"matched"`
	Scores       map[string]int `json:"scores"`
	Interruption *Interruption  `json:"interruption"`
	Error        string         `json:"error"`
}

// Cost is a line that is written by -bench.
type Cost struct {
	ID           string  `json:"id"`
	Microseconds float64 `json:"us"`
}

// judge runs one transaction and reports on it.
func judge(waf coraza.WAF, request *Request) Answer {
	tx := waf.NewTransactionWithID(request.ID)
	defer tx.Close()
	interruption, err := process(tx, request)
	tx.ProcessLogging()
	answer := Answer{ID: request.ID, Matched: []int{}, Scores: map[string]int{}}
	if err != nil {
		answer.Error = err.Error()
	}
	if interruption != nil {
		answer.Interruption = &Interruption{ID: interruption.RuleID, Status: interruption.Status}
	}
	for _, matched := range tx.MatchedRules() {
		answer.Matched = append(answer.Matched, matched.Rule().ID())
	}
	if state, ok := tx.(plugintypes.TransactionState); ok {
		for _, direction := range []string{"inbound", "outbound"} {
			answer.Scores[direction] = number(state, "blocking_"+direction+"_anomaly_score")
		}
	}
	return answer
}

// number is a variable of TX, 0 when it is not set.
func number(state plugintypes.TransactionState, name string) int {
	for _, value := range state.Variables().TX().Get(name) {
		if parsed, err := strconv.Atoi(value); err == nil {
			return parsed
		}
	}
	return 0
}

// process runs the phases until a rule interrupts.
func process(tx types.Transaction, request *Request) (*types.Interruption, error) {
	version := string(request.Version)
	if version == "" {
		version = "HTTP/1.1"
	}
	tx.ProcessConnection("127.0.0.1", 12345, "127.0.0.1", 80)
	tx.ProcessURI(string(request.URI), string(request.Method), version)
	for _, header := range request.Headers {
		tx.AddRequestHeader(string(header[0]), string(header[1]))
	}
	if interruption := tx.ProcessRequestHeaders(); interruption != nil {
		return interruption, nil
	}
	if tx.IsRequestBodyAccessible() && len(request.Body) > 0 {
		if interruption, _, err := tx.WriteRequestBody(request.Body); interruption != nil || err != nil {
			return interruption, err
		}
	}
	if interruption, err := tx.ProcessRequestBody(); interruption != nil || err != nil {
		return interruption, err
	}
	response := request.Response
	if response == nil {
		response = &Response{Status: 200}
	}
	for _, header := range response.Headers {
		tx.AddResponseHeader(string(header[0]), string(header[1]))
	}
	if interruption := tx.ProcessResponseHeaders(response.Status, "HTTP/1.1"); interruption != nil {
		return interruption, nil
	}
	if tx.IsResponseBodyAccessible() && tx.IsResponseBodyProcessable() && len(response.Body) > 0 {
		if interruption, _, err := tx.WriteResponseBody(response.Body); interruption != nil || err != nil {
			return interruption, err
		}
	}
	return tx.ProcessResponseBody()
}
