package revocation

import (
	"math/big"

	"github.com/portti-id/portti/internal/card"
)

// Parse is for the fuzz target: reading an answer, without believing it.
func Parse(der []byte) (card.State, *big.Int, error) {
	r, err := parse(der)
	if err != nil {
		return "", nil, err
	}
	return r.state, r.about.serialNum, nil
}

// What the tests wait beyond.
const (
	GoodFor       = goodFor
	Pause         = pause
	FailuresInRow = failuresInRow
	CallsAtOnce   = callsAtOnce
)

var CacheKey = cacheKey
