//go:build !race

package teststore

const raced = false
