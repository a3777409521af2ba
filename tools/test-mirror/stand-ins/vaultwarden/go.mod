module sovereign/stand-ins/vaultwarden

go 1.25
