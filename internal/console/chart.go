package console

import (
	"strconv"
)

// chart is numbers to look at, without script and without inline styles: the
// partial con-bars draws a bar beside every number of a table, for a few rows; the
// partial con-columns a picture of columns with the table below it, for many rows
// in a row, such as days. What is drawn is in the table in words and numbers too.
type chart struct {
	ID     string   // unique on the page
	Title  string   // in the reader's language, as everything here
	Of     string   // what the rows are: "Day", "Cause"
	Series []string // what is stacked in one bar, six at most; one where nothing is
	Rows   []chartRow
}

// chartRow is a bar: a number for each of the series, none below zero.
type chartRow struct {
	Label  string
	Values []int
}

// Total is the whole bar.
func (r chartRow) Total() int {
	sum := 0
	for _, v := range r.Values {
		sum += v
	}
	return sum
}

// Stacked tells whether a bar has parts.
func (c chart) Stacked() bool { return len(c.Series) > 1 }

// Sum is all of a series.
func (c chart) Sum(series int) int {
	sum := 0
	for _, r := range c.Rows {
		if series < len(r.Values) {
			sum += r.Values[series]
		}
	}
	return sum
}

// Most is the largest bar, which the others are measured by.
func (c chart) Most() int {
	most := 0
	for _, r := range c.Rows {
		most = max(most, r.Total())
	}
	return most
}

// First and Last are the ends of the axis below columns.
func (c chart) First() string { return c.end(0) }
func (c chart) Last() string  { return c.end(len(c.Rows) - 1) }

func (c chart) end(i int) string {
	if i < 0 || i >= len(c.Rows) {
		return ""
	}
	return c.Rows[i].Label
}

// rect is a part of a bar, in hundredths of the picture.
type rect struct {
	X, Y, Width, Height string
	Series              int // from 1
}

// Bar is the parts of a row's bar, from left to right.
func (c chart) Bar(r chartRow) []rect {
	return c.stack(r, func(from, to float64, series int) rect {
		return rect{X: share(from), Y: "0", Width: share(to - from), Height: "100", Series: series}
	})
}

// Columns is the parts of every row's column, from below.
func (c chart) Columns() []rect {
	var all []rect
	wide := 100 / float64(max(len(c.Rows), 1))
	for i, r := range c.Rows {
		all = append(all, c.stack(r, func(from, to float64, series int) rect {
			return rect{X: share((float64(i) + 0.1) * wide), Y: share(100 - to), Width: share(0.8 * wide), Height: share(to - from), Series: series}
		})...)
	}
	return all
}

// stack draws the values of a row one after the other, from 0 to 100.
func (c chart) stack(r chartRow, draw func(from, to float64, series int) rect) []rect {
	most := c.Most()
	if most == 0 {
		return nil
	}
	var parts []rect
	sum := 0
	for i, v := range r.Values {
		if v > 0 {
			parts = append(parts, draw(100*float64(sum)/float64(most), 100*float64(sum+v)/float64(most), i+1))
		}
		sum += max(v, 0)
	}
	return parts
}

func share(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// Number is the series of an index, as the classes of the style sheet count them.
func (c chart) Number(i int) int { return i + 1 }
