package demo

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed selftest.html
var selftestHTML string

// selftestPage shows which ways lead from the browser to the program.
var selftestPage = template.Must(template.New("selftest").Parse(selftestHTML))

// serveSelftest shows the page in the language of its address, or else of the browser.
func serveSelftest(w http.ResponseWriter, r *http.Request) {
	t := texts()[r.URL.Query().Get("lang")]
	if t == nil {
		t = texts()[language(r)]
	}
	var b bytes.Buffer
	if err := selftestPage.Execute(&b, t); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}
