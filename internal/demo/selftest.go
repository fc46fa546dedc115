package demo

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed selftest.html
var selftestHTML string

var selftestPage = template.Must(template.New("selftest").Parse(selftestHTML))

// selftest is what the page says that shows which ways lead to the program here. Codes of Results
// are those that selftest.js puts together.
type selftest struct {
	Lang, Title, Lead, Start, Browser, WhatToDo string
	Checks                                      []message // Code: of probe's answer
	States                                      []message // Code: how a check ended
	Results                                     []message
}

var selftests = map[string]*selftest{
	"it": {
		Lang: "it", Title: "Prova il collegamento con la tessera", Start: "Inizia la prova", Browser: "Il tuo browser:", WhatToDo: "Che cosa fare:",
		Lead:   "Questa pagina controlla se il tuo browser raggiunge il programma CRS. Non legge la tessera e non chiede il PIN.",
		Checks: []message{{Code: "secure", Title: "Pagina sicura"}, {Code: "extension", Title: "Estensione CRS nel browser"}, {Code: "native", Title: "Programma CRS attraverso l’estensione"}, {Code: "socket", Title: "Programma CRS senza estensione"}},
		States: []message{{Code: "yes", Title: "funziona"}, {Code: "no", Title: "non funziona"}, {Code: "absent", Title: "non c’è"}, {Code: "spare", Title: "non serve"}, {Code: "wait", Title: "controllo…"}},
		Results: []message{
			{Code: "extension", Title: "Tutto funziona", Text: "Puoi accedere con la tessera. Il browser non ti chiederà permessi.", Next: "apri il portale e premi Accedi."},
			{Code: "socket", Title: "Funziona", Text: "Puoi accedere con la tessera anche senza estensione. Il browser può chiederti un permesso.", Next: "quando il browser lo chiede, scegli «Consenti»."},
			{Code: "permission", Title: "Il browser sta per chiederti un permesso", Text: "Serve per raggiungere il programma CRS su questo computer.", Next: "scegli «Consenti»."},
			{Code: "permission_denied", Title: "Il browser blocca il collegamento", Text: "Il browser non permette a questo sito di usare le altre app del dispositivo.", Next: "premi il simbolo accanto all’indirizzo del sito, consenti l’accesso alle app di questo dispositivo e ripeti la prova. Oppure installa l’estensione CRS."},
			{Code: "permission_dismissed", Title: "Manca il permesso del browser", Text: "La domanda del browser è stata chiusa senza una risposta.", Next: "ripeti la prova e scegli «Consenti»."},
			{Code: "unsupported_version", Title: "Programma CRS da aggiornare", Text: "Il programma CRS su questo computer è di un’altra versione.", Next: "installa la versione più recente, riavvia il computer e ripeti la prova."},
			{Code: "origin_denied", Title: "Hai bloccato questo sito", Text: "Il programma CRS risponde, ma hai deciso che questo sito non può chiedere l’accesso.", Next: "apri il menu del programma CRS, alla voce «Siti autorizzati»."},
			{Code: "insecure", Title: "Pagina non sicura", Text: "L’indirizzo di questa pagina non comincia con https.", Next: "apri la pagina con l’indirizzo che comincia con https."},
			{Code: "missing", Title: "Il programma CRS non risponde", Text: "Su questo computer il programma CRS non è installato, non è avviato, oppure hai bloccato questo sito.", Next: "installa o avvia il programma CRS e ripeti la prova. Se hai bloccato questo sito, apri il menu del programma, alla voce «Siti autorizzati»."},
		},
	},
	"en": {
		Lang: "en", Title: "Check the connection with your card", Start: "Start the check", Browser: "Your browser:", WhatToDo: "What to do:",
		Lead:   "This page checks whether your browser reaches the CRS software. It does not read the card and asks for no PIN.",
		Checks: []message{{Code: "secure", Title: "Secure page"}, {Code: "extension", Title: "CRS extension in the browser"}, {Code: "native", Title: "CRS software by way of the extension"}, {Code: "socket", Title: "CRS software without the extension"}},
		States: []message{{Code: "yes", Title: "works"}, {Code: "no", Title: "does not work"}, {Code: "absent", Title: "not there"}, {Code: "spare", Title: "not needed"}, {Code: "wait", Title: "checking…"}},
		Results: []message{
			{Code: "extension", Title: "Everything works", Text: "You can log in with your card. The browser will ask for no permission.", Next: "open the portal and press Log in."},
			{Code: "socket", Title: "It works", Text: "You can log in with your card without the extension too. The browser may ask for a permission.", Next: "when the browser asks, choose “Allow”."},
			{Code: "permission", Title: "Your browser will ask for a permission", Text: "It is needed to reach the CRS software on this computer.", Next: "choose “Allow”."},
			{Code: "permission_denied", Title: "The browser blocks the connection", Text: "The browser does not let this site access other apps on this device.", Next: "press the symbol beside the site’s address, allow access to apps on this device, and check again. Or install the CRS extension."},
			{Code: "permission_dismissed", Title: "The browser’s permission is missing", Text: "The browser’s question was closed without an answer.", Next: "check again and choose “Allow”."},
			{Code: "unsupported_version", Title: "The CRS software needs an update", Text: "The CRS software on this computer has another version.", Next: "install the latest version, restart the computer and check again."},
			{Code: "origin_denied", Title: "You blocked this site", Text: "The CRS software answers, but you decided that this site may not ask for logins.", Next: "open the menu of the CRS software, under “Allowed sites”."},
			{Code: "insecure", Title: "Page not secure", Text: "The address of this page does not begin with https.", Next: "open the page with an address that begins with https."},
			{Code: "missing", Title: "The CRS software does not answer", Text: "On this computer the CRS software is not installed, is not running, or you have blocked this site.", Next: "install or start the CRS software and check again. If you blocked this site, open the menu of the software, under “Allowed sites”."},
		},
	},
	"de": {
		Lang: "de", Title: "Verbindung mit der Karte prüfen", Start: "Prüfung beginnen", Browser: "Ihr Browser:", WhatToDo: "Was Sie tun können:",
		Lead:   "Diese Seite prüft, ob Ihr Browser die CRS-Software erreicht. Sie liest die Karte nicht und fragt nicht nach dem PIN.",
		Checks: []message{{Code: "secure", Title: "Sichere Seite"}, {Code: "extension", Title: "CRS-Erweiterung im Browser"}, {Code: "native", Title: "CRS-Software über die Erweiterung"}, {Code: "socket", Title: "CRS-Software ohne Erweiterung"}},
		States: []message{{Code: "yes", Title: "funktioniert"}, {Code: "no", Title: "funktioniert nicht"}, {Code: "absent", Title: "nicht vorhanden"}, {Code: "spare", Title: "nicht nötig"}, {Code: "wait", Title: "wird geprüft …"}},
		Results: []message{
			{Code: "extension", Title: "Alles funktioniert", Text: "Sie können sich mit der Karte anmelden. Der Browser fragt nicht um Erlaubnis.", Next: "Öffnen Sie das Portal und drücken Sie „Anmelden“."},
			{Code: "socket", Title: "Es funktioniert", Text: "Sie können sich auch ohne Erweiterung mit der Karte anmelden. Der Browser fragt vielleicht um Erlaubnis.", Next: "Wenn der Browser fragt, wählen Sie „Zulassen“."},
			{Code: "permission", Title: "Ihr Browser fragt gleich um Erlaubnis", Text: "Sie ist nötig, um die CRS-Software auf diesem Computer zu erreichen.", Next: "Wählen Sie „Zulassen“."},
			{Code: "permission_denied", Title: "Der Browser blockiert die Verbindung", Text: "Der Browser erlaubt dieser Website keinen Zugriff auf andere Apps auf diesem Gerät.", Next: "Klicken Sie auf das Symbol neben der Adresse, erlauben Sie den Zugriff auf Apps auf diesem Gerät und prüfen Sie erneut. Oder installieren Sie die CRS-Erweiterung."},
			{Code: "permission_dismissed", Title: "Die Erlaubnis des Browsers fehlt", Text: "Die Frage des Browsers wurde ohne Antwort geschlossen.", Next: "Prüfen Sie erneut und wählen Sie „Zulassen“."},
			{Code: "unsupported_version", Title: "Die CRS-Software muss aktualisiert werden", Text: "Die CRS-Software auf diesem Computer hat eine andere Version.", Next: "Installieren Sie die neueste Version, starten Sie den Computer neu und prüfen Sie erneut."},
			{Code: "origin_denied", Title: "Sie haben diese Website gesperrt", Text: "Die CRS-Software antwortet, aber diese Website darf keine Anmeldung verlangen.", Next: "Öffnen Sie im Menü der CRS-Software „Erlaubte Websites“."},
			{Code: "insecure", Title: "Seite nicht sicher", Text: "Die Adresse dieser Seite beginnt nicht mit https.", Next: "Öffnen Sie die Seite mit einer Adresse, die mit https beginnt."},
			{Code: "missing", Title: "Die CRS-Software antwortet nicht", Text: "Auf diesem Computer ist die CRS-Software nicht installiert oder nicht gestartet, oder Sie haben diese Website gesperrt.", Next: "Installieren oder starten Sie die CRS-Software und prüfen Sie erneut. Wenn Sie diese Website gesperrt haben, öffnen Sie im Menü der Software „Erlaubte Websites“."},
		},
	},
}

// serveSelftest shows the page in the language of its address, else of the browser.
func serveSelftest(w http.ResponseWriter, r *http.Request) {
	text := selftests[r.URL.Query().Get("lang")]
	if text == nil {
		text = selftests[language(r)]
	}
	var b bytes.Buffer
	if err := selftestPage.Execute(&b, text); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}
