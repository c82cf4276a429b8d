//go:build !purego

package carrier

import "runtime"

// Why says, in words that follow "because", why the path in use isn't a better one. It is empty for
// the direct path.
func Why() string {
	switch {
	case Active() < best:
		return "the environment variable " + EnvPath + " asks for it"
	case best == Labels:
		return "this release doesn't know the layout of the label sets of " + runtime.Version()
	case best == Portable:
		return "the label slot of " + runtime.Version() + " hasn't passed the check at start-up"
	}
	return ""
}

// Foreign returns the labels of the running goroutine that other code has set, and whether labels can
// be read at all.
func Foreign() (labels []Label, ok bool) {
	if Active() == Portable {
		return nil, false
	}
	for _, l := range labelsOf(getSlot(), nil) {
		if !isOurs(l) {
			labels = append(labels, Label{l.key, l.value})
		}
	}
	return labels, true
}
