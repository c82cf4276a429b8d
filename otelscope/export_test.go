package otelscope

// For the tests of package otelscope_test.
var (
	LogValueOf       = forLogs.value
	AttributeValueOf = forAttributes.value
	KeyOf            = keyOf
)
