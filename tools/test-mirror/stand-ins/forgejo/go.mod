module sovereign/stand-ins/forgejo

go 1.25
