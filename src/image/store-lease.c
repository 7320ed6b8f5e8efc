/* Leases (S6): locks on single bytes of db.lock, each by an open file description of its own. They
 * end with the last process that has it, whatever ends that one, and cost no transaction. Who looks
 * for them holds the store's lock; who takes one does so before he reads the index, under that same
 * lock: so either his lease is seen, or what was collected is not found. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "image/store-internal.h"

static bool pins_image(const char *what)
{
        enum hash_alg alg;

        return digest_check(what, &alg) == 0;
}

/* The byte that stands for an image (60 bits of its digest), or for all who add. */
static struct flock byte_of(const char *image, short type)
{
        char hex[16] = "";

        if (image)
                snprintf(hex, sizeof hex, "%s", digest_hex(image));
        return (struct flock){ .l_type = type,
                               .l_whence = SEEK_SET,
                               .l_start = image ? (off_t)strtoull(hex, NULL, 16) + 1 : 0,
                               .l_len = 1 };
}

int store_lease(struct store *s, const char *what, int *ret, struct err *e)
{
        struct flock byte = byte_of(pins_image(what) ? what : NULL, F_RDLCK);
        AUTO_FD int fd = openat(s->dir, "db.lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        if (!s->writable)
                return err_set(e, ERR_DENIED, "the store \"%s\" cannot be written", s->path);
        if (fd < 0 || fcntl(fd, F_OFD_SETLK, &byte) < 0)
                return err_sys(e, errno, "cannot take a lease on \"%.80s\"", what);
        *ret = TAKE_FD(fd);
        return 0;
}

void store_lease_end(struct store *s, int lease)
{
        struct err e = { 0 };
        enum verdict v;

        fd_close(lease);
        if (store_verdict(s, &v, &e) == 0 && s->seal.collect)
                store_collect(s, 0, NULL, &e);
}

bool lease_held(struct store *s, const char *image)
{
        struct flock byte = byte_of(image, F_WRLCK);

        return s->lock >= 0 && fcntl(s->lock, F_OFD_GETLK, &byte) == 0 && byte.l_type != F_UNLCK;
}

int image_in_use(struct store *s, const char *digest, struct err *e)
{
        AUTO_ROWS rows = { 0 };

        if (lease_held(s, digest))
                return 1;
        return db_query(s, Q_CTR_USING, &rows, e, "s", digest) < 0 ? -1 : db_next(&rows);
}
