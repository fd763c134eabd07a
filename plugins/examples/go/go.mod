module example.com/minimal-go

go 1.26

require go.bytecodealliance.org/pkg v0.4.0

// What the generated code imports: a copy, as v0.4.0 itself asks for Go 1.27.
replace go.bytecodealliance.org/pkg => ./pkg
