// Package connectscope gives each Connect call a scope of its own.
package connectscope
