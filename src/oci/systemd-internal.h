/* Shared by oci/systemd*.c alone: lines of the helper's protocol. */
#pragma once

#include "base/buf.h"

/* One word: what isn't plain is %XX. An empty word is "%". */
void systemd_put_word(struct buf *out, const char *s, size_t n);
/* "property NAME SIGNATURE"; the caller adds words and the newline. optional: systemd may not
 * know it. */
void systemd_put_property(struct buf *out, const char *name, const char *signature, int optional);
void systemd_put_text(struct buf *out, const char *name, const char *value);
void systemd_put_flag(struct buf *out, const char *name, int value);
