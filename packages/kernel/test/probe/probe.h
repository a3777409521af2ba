/* The program that kernel.boot.test.ts runs as init: asks the running kernel for what the fragments promise. */
#pragma once

#include <stdbool.h>

/* Prints one line, `check NAME pass` or `check NAME fail DETAIL`; the detail is taken from errno where it is NULL. */
void check(const char *name, bool ok, const char *detail);

bool exists(const char *path);

/* Whether the file has a line that holds `text`. */
bool file_has(const char *path, const char *text);

void check_ipc(void);
void check_network(void);
void check_netfilter(void);
void check_devices(void);
void check_filesystems(void);
void check_security(void);
