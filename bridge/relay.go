package bridge

import (
	"bufio"
	"errors"
	"io"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crs-bridge/crs"
)

// Relay copies messages between a browser and a service until one of the two ends. If the service
// ends, it answers in its place what the browser still waits for.
func Relay(browser io.ReadWriter, service io.ReadWriteCloser) error {
	r := &relay{browser: browser, service: service, open: map[string]bool{}}
	go r.ask()
	return r.answer()
}

// Refuse answers the browser's first message with a code.
func Refuse(browser io.ReadWriter, code crs.Code) error {
	message, err := readFrame(bufio.NewReader(browser), Limits{}.withDefaults().MessageBytes)
	if err != nil {
		return err
	}
	r := &relay{browser: browser}
	request, _ := parseRequest(message)
	return r.refuse(request.ID, code)
}

type relay struct {
	browser io.ReadWriter // written to by answer alone: that may take as long as the browser likes
	service io.ReadWriteCloser

	mu   sync.Mutex
	open map[string]bool // ids of requests that were not answered
	left error           // why no more comes from the browser
}

// ask passes on what the browser says. When the browser is gone it hangs up on the service, which
// so notices.
func (r *relay) ask() {
	defer r.service.Close()
	from, most := bufio.NewReader(r.browser), Limits{}.withDefaults().MessageBytes
	for {
		message, err := readFrame(from, most)
		r.note(message, err)
		if err != nil || writeFrame(r.service, message) != nil {
			return
		}
	}
}

func (r *relay) note(message []byte, err error) {
	request, _ := parseRequest(message)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.left = err
	} else if request.ID != nil {
		r.open[string(request.ID)] = true
	}
}

// answer passes on what the service says.
func (r *relay) answer() error {
	from := bufio.NewReader(r.service)
	for {
		message, err := readFrame(from, maxReply)
		if err != nil {
			return r.end()
		}
		var answered struct {
			ID jsontext.Value `json:"id"`
		}
		if json.Unmarshal(message, &answered) == nil {
			id, _ := parseID(answered.ID) // progress has none
			r.mu.Lock()
			delete(r.open, string(id))
			r.mu.Unlock()
		}
		if err := writeFrame(r.browser, message); err != nil {
			return err
		}
	}
}

// end runs when the service has ended, and answers in its place what the browser still waits for.
func (r *relay) end() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(r.left, errTooLong) {
		return r.refuse(nil, errRequest)
	}
	if r.left != nil {
		return nil
	}
	for id := range r.open {
		r.refuse(jsontext.Value(id), crs.ErrInternal)
	}
	return errors.New("the service ended the connection")
}

// refuse answers a request in the service's place.
func (r *relay) refuse(id jsontext.Value, why error) error {
	b, err := json.Marshal(newResponse(id, nil, why))
	if err != nil {
		return err
	}
	return writeFrame(r.browser, b)
}
