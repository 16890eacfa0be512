package console

import (
	"slices"
	"testing"
)

var logins = chart{ID: "logins", Title: "Logins", Of: "Day", Series: []string{"Card", "Code"}, Rows: []chartRow{
	{"1.1.", []int{1, 3}}, {"2.1.", []int{8, 0}}, {"3.1.", []int{0, 0}},
}}

// A bar is as long as its share of the longest one, and its parts lie end to end.
func TestBarsAreTheirShare(t *testing.T) {
	if logins.Most() != 8 || logins.First() != "1.1." || logins.Last() != "3.1." || !logins.Stacked() || logins.Rows[0].Total() != 4 || logins.Sum(0) != 9 || logins.Sum(1) != 3 || logins.Sum(2) != 0 {
		t.Errorf("%d, %s to %s", logins.Most(), logins.First(), logins.Last())
	}
	want := []rect{{"0.00", "0", "12.50", "100", 1}, {"12.50", "0", "37.50", "100", 2}}
	if got := logins.Bar(logins.Rows[0]); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := logins.Bar(logins.Rows[1]); !slices.Equal(got, []rect{{"0.00", "0", "100.00", "100", 1}}) {
		t.Errorf("the longest: %v", got)
	}
	if got := logins.Bar(logins.Rows[2]); got != nil {
		t.Errorf("nothing: %v", got)
	}
}

// Columns stand on the ground, beside each other, parts on top of each other.
func TestColumnsStandBesideEachOther(t *testing.T) {
	want := []rect{{"3.33", "87.50", "26.67", "12.50", 1}, {"3.33", "50.00", "26.67", "37.50", 2}, {"36.67", "0.00", "26.67", "100.00", 1}}
	if got := logins.Columns(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestAChartOfNothing(t *testing.T) {
	for _, c := range []chart{{}, {Rows: []chartRow{{"a", []int{0}}}}, {Rows: []chartRow{{"a", nil}}}} {
		if c.Columns() != nil || c.Most() != 0 {
			t.Errorf("%+v: %v", c, c.Columns())
		}
	}
	if (chart{}).First() != "" || (chart{}).Last() != "" {
		t.Error("an end of nothing")
	}
}
