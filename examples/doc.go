// Package examples holds one program per question. README.md lists them. The package
// itself has only the test that runs every command in the README.
package examples
