// Package rows defines the comparisons, and how each contender is started.
package rows

import "github.com/seed-48afdc40/netmap/bench/internal/contest"

// All returns the comparisons, in the order of the report.
func All() []contest.Comparison {
	all := frameworkComparisons()
	return append(all, vethTx(), vethRx(), ownCycles(), kernelShare(),
		processPipe(), processVALE(), roundTrip())
}
