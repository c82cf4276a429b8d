//go:build purego

package carrier

// What slot.go and labels.go have, without access to the slot: labels can't be shown, and contexts
// answer with what they wrap.

// A Header makes an object bindable: embed it as the object's first field and call Init before the
// object is shared.
type Header struct{ object any }

// Init makes h ready. object is what h is the first field of.
func (h *Header) Init(object any) { h.object = object }

func choose() Path { return Portable }

// Same is a == b.
func Same(a, b string) bool { return a == b }

// Stripe returns 0: nothing tells goroutines apart as cheaply without unsafe.
func Stripe() uintptr { return 0 }

// Load returns the object that is bound to the running goroutine, or nil.
func Load[T any]() *T {
	if h := loadPortable(); h != nil {
		return h.object.(*T)
	}
	return nil
}

// Bind binds the object of h, or nothing if h is nil, to the running goroutine.
func Bind(h *Header, _ []Label) { bindPortable(h) }

// Saved is what Swap found, to be put back.
type Saved struct{ swapped *portableEntry }

// Swap binds like Bind and returns what was there before.
func Swap(h *Header, _ []Label) Saved { return Saved{swapPortable(h)} }

// Restore puts back what Swap found. The goroutine that called Swap must call it.
func (s *Saved) Restore(func(Label) (Label, bool)) { restorePortable(s.swapped) }

// Answer is what a context answers with under LabelKey.
func Answer(given any, _ *Header, _ []Label) any { return given }

// Why says why the path in use isn't a better one.
func Why() string { return "the build tag purego leaves the others out" }

// Foreign says that labels can't be read.
func Foreign() (labels []Label, ok bool) { return nil, false }
