/* What the files of uploads share. */
#pragma once

#include "image/registry-internal.h"

/* The row functions of upload_operations[]. */
int upload_exists(struct request *q, struct err *e);
int upload_mount(struct request *q, struct err *e);
int upload_blob(struct request *q, struct err *e);
int upload_put_manifest(struct request *q, struct err *e);
int upload_delete_manifest(struct request *q, struct err *e);

/* The member "digest", checked. */
int upload_digest(const struct request *q, const char **ret, struct err *e);
/* Whether the registry calls what was uploaded something else. */
int upload_verify(const struct exchange *x, const char *digest, struct err *e);
