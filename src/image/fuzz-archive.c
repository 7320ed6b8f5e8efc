/* A tar of a stranger's: whatever is found in it has the shape that loading relies on. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/archive-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_image(const struct members *m, const struct found_image *i)
{
        char digest[DIGEST_CAP];

        hash_bytes(HASH_SHA256, i->config, i->nconfig, digest);
        if (str_after(i->id, "sha256:") && !str_eq(digest, i->id))
                abort();
        for (size_t k = 0; k < i->c.diff_ids.n; k++) {
                AUTO_FD int fd = -1;
                uint64_t n;

                if (digest_check(i->c.diff_ids.v[k], NULL) < 0 ||
                    members_open(m, i->layers[k].member, &fd, &n, NULL) < 0 ||
                    n != i->layers[k].size)
                        abort();
        }
        for (size_t k = 0; k < i->names.n; k++)
                if (!strchr(i->names.v[k], '/'))
                        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct archive_load_options o = { .platform = { "", "", "", "" } };
        AUTO_FD int fd = memfd_create("archive", MFD_CLOEXEC);
        AUTO_ARENA a = { 0 };
        struct finding_context f = { .arena = &a, .o = &o };
        struct members *m = NULL;
        struct found_image *v;
        struct err e = { 0 };
        size_t n;

        if (fd < 0 || fd_write_all(fd, data, size) < 0)
                abort();
        if (members_of_tar(fd, &m, &e) == 0) {
                f.members = m;
                if (archive_find(&f, &v, &n, &e) == 0)
                        for (size_t i = 0; i < n; i++)
                                check_image(m, &v[i]);
                else if (e.code == ERR_NONE)
                        abort();
        } else if (e.code == ERR_NONE) {
                abort();
        }
        members_free(m);
        return 0;
}
