//go:build race

package teststore

const raced = true
