/* Private to spec*.c: the rules between fields, after the tables of spec-tables.c had their say
 * about single ones. Pure: what only this host could tell (does the namespace file exist, is the
 * controller there) is left to whoever applies the value. Each returns 0, or -1 with *e naming the
 * field. */
#pragma once

#include "base/err.h"
#include "oci/spec.h"

int spec_check(const struct spec *s, struct err *e);
int spec_check_process(const struct spec_process *p, struct err *e);
int spec_check_resources(const struct spec_resources *r, struct err *e);

/* Parts of spec_check(). */
int spec_check_seccomp(const struct spec *s, struct err *e);
int spec_check_sysctl(const struct spec *s, struct err *e);
/* field names the array for messages. */
int spec_check_id_mappings(const struct id_mappings *m, const char *field, struct err *e);
