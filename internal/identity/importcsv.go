package identity

import (
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/portti-id/portti/internal/fault"
)

// Columns that an import reads; those of PeopleColumns besides are looked past.
const (
	colUsername     = "username"
	colGiven        = "given_name"
	colFamily       = "family_name"
	colEmail        = "email"
	colLanguage     = "language"
	colPhone        = "phone"
	colOrganisation = "organisation" // compared only
)

// headings are what people call the columns, without case, spaces and hyphens.
var headings = map[string]string{
	"username": colUsername, "käyttäjätunnus": colUsername, "tunnus": colUsername, "användarnamn": colUsername,
	"givenname": colGiven, "firstname": colGiven, "etunimi": colGiven, "förnamn": colGiven,
	"familyname": colFamily, "lastname": colFamily, "surname": colFamily, "sukunimi": colFamily, "efternamn": colFamily,
	"email": colEmail, "emailaddress": colEmail, "sähköposti": colEmail, "sähköpostiosoite": colEmail, "epost": colEmail, "epostadress": colEmail,
	"language": colLanguage, "kieli": colLanguage, "språk": colLanguage,
	"phone": colPhone, "phonenumber": colPhone, "puhelin": colPhone, "puhelinnumero": colPhone, "telefon": colPhone, "telefonnummer": colPhone,
	"organisation": colOrganisation, "organization": colOrganisation, "organisaatio": colOrganisation,
}

// Limits of a file.
const (
	MostImportBytes = 4 << 20
	MostImportRows  = 20_000
	longestCell     = 300 // code points; no column takes more
)

var (
	errImportLarge  = fault.New(fault.Invalid, "import_too_large", "csv: the file is larger than 4 MiB, or has more than 20000 rows. Divide it.").In("csv")
	errImportText   = fault.New(fault.Invalid, "import_not_text", "csv: the file is not text in UTF-8. Save it as CSV UTF-8.").In("csv")
	errImportEmpty  = fault.New(fault.Invalid, "import_empty", "csv: the file has no rows of people.").In("csv")
	errImportHeader = fault.New(fault.Invalid, "import_header", "csv: the first line has to name the columns, username among them.").In("csv")
)

// readImport reads a file: UTF-8 with or without a mark, comma or semicolon, lines
// that end in any way. A file that is no table is refused as a whole; a row that
// says nothing useful is wrong, and Done.
func readImport(file string) ([]ImportRow, error) {
	if len(file) > MostImportBytes {
		return nil, errImportLarge
	}
	if !utf8.ValidString(file) || strings.ContainsRune(file, 0) {
		return nil, errImportText
	}
	file = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(file, "\ufeff"))
	r := csv.NewReader(strings.NewReader(file))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = separator(file), -1, true
	columns, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	var rows []ImportRow
	seen := map[string]bool{}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errTable(err)
		}
		if !slices.ContainsFunc(cells, func(c string) bool { return strings.TrimSpace(c) != "" }) {
			continue
		}
		if len(rows) == MostImportRows {
			return nil, errImportLarge
		}
		row := readRow(columns, cells)
		row.Line, _ = r.FieldPos(0)
		if name := FoldUsername(row.Cells[colUsername]); !row.Done {
			if seen[name] {
				row.wrong("import_duplicate", colUsername)
			}
			seen[name] = true
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, errImportEmpty
	}
	return rows, nil
}

// separator is the one that the first line has more of.
func separator(file string) rune {
	line, _, _ := strings.Cut(file, "\n")
	if strings.Count(line, ";") > strings.Count(line, ",") {
		return ';'
	}
	return ','
}

// readHeader gives the column of each cell, "" for one that is looked past. A name
// that we do not know may be a column that somebody misspelled, and is refused.
func readHeader(r *csv.Reader) ([]string, error) {
	names, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errImportEmpty
	}
	if err != nil {
		return nil, errTable(err)
	}
	columns := make([]string, len(names))
	for i, name := range names {
		folded := FoldUsername(PlainCell(name))
		column, known := headings[strings.NewReplacer(" ", "", "-", "", "_", "").Replace(folded)]
		switch {
		case known && slices.Contains(columns[:i], column):
			return nil, fault.New(fault.Invalid, "import_column_twice", "csv: the column %s is there twice.", column).In("csv").With("column", column)
		case !known && folded != "" && !slices.Contains(PeopleColumns, folded):
			if !slices.ContainsFunc(names, func(n string) bool { return headings[FoldUsername(n)] != "" }) {
				return nil, errImportHeader
			}
			return nil, fault.New(fault.Invalid, "import_column_unknown", "csv: there is no column %q.", short(folded)).In("csv").With("column", short(folded))
		}
		columns[i] = column
	}
	if !slices.Contains(columns, colUsername) {
		return nil, errImportHeader
	}
	return columns, nil
}

func errTable(err error) error {
	line := 0
	if p := new(csv.ParseError); errors.As(err, &p) {
		line = p.Line
	}
	return fault.New(fault.Invalid, "import_not_table", "csv: line %d is not a row of a table: look at the quotation marks.", line).In("csv").With("line", strconv.Itoa(line))
}

func readRow(columns, cells []string) ImportRow {
	row := ImportRow{Cells: map[string]string{}}
	code, field := "", ""
	for i, column := range columns {
		if column == "" || i >= len(cells) {
			continue
		}
		cell := strings.TrimSpace(PlainCell(cells[i]))
		if utf8.RuneCountInString(cell) > longestCell {
			cell, code, field = short(cell), "too_long", column
		}
		row.Cells[column] = strings.Clone(cell)
	}
	if language, ok := row.Cells[colLanguage]; ok {
		row.Cells[colLanguage] = strings.ToLower(language)
	}
	extra := slices.ContainsFunc(cells[min(len(columns), len(cells)):], func(c string) bool { return strings.TrimSpace(c) != "" })
	switch {
	case len(cells) < len(columns) || extra:
		row.wrong("import_cells", "")
	case code != "":
		row.wrong(code, field)
	}
	return row
}

func (r *ImportRow) wrong(code, field string) {
	r.Verdict, r.Code, r.Done = RowWrong, code, true
	if field != "" {
		r.Fields = []string{field}
	}
}

// short is the beginning of what somebody wrote.
func short(s string) string {
	if r := []rune(s); len(r) > 50 {
		return string(r[:50])
	}
	return s
}
