/* From an archive into the store. The invariants are the store's: each layer is staged, verified
 * and committed on its own; the image is recorded last. What fails leaves complete layers, which
 * are collected then, or later where the process was killed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/archive-internal.h"
#include "image/compose.h"
#include "image/layer.h"
#include "image/pull-internal.h"
#include "image/record.h"

/* ---- where the bytes are ---- */

struct source {
        struct members *members;
        struct stage stage; /* holds the spool */
        bool spooled;
        int spool;
};

/* Whether fd is a tar file whose members can be read where they lie. */
static bool is_plain_file(int fd, const struct stat *st)
{
        char magic[5];

        return S_ISREG(st->st_mode) &&
               pread(fd, magic, sizeof magic, 257) == (ssize_t)sizeof magic &&
               memcmp(magic, "ustar", sizeof magic) == 0;
}

/* A pipe or a compressed file, into the stage: by berth-layer, which is confined for this. */
static int spool(struct store *s, int input, const struct log *log, struct source *src,
                 struct err *e)
{
        char name[sizeof src->stage.name];

        snprintf(name, sizeof name, "load-%d", getpid());
        if (stage_open(s, name, false, &src->stage, e) < 0)
                return -1;
        src->spooled = true;
        src->spool =
                openat(src->stage.dir, "archive", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (src->spool < 0)
                return err_sys(e, errno, "cannot create a file in the store");
        return layer_inflate(input, src->spool, log, e);
}

/* What berth-layer passed on as it was, and is no tar. */
static int check_spool(int fd, struct err *e)
{
        static const struct {
                const char *magic, *name;
        } foreign[] = { { "\xfd"
                          "7zXZ",
                          "xz" },
                        { "BZh", "bzip2" },
                        { "PK\3\4", "zip" } };
        char head[8] = "";
        ssize_t n = pread(fd, head, sizeof head, 0);

        if (n == 0)
                return err_set(e, ERR_INVALID, "it is empty");
        for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
                if (memcmp(head, foreign[i].magic, strlen(foreign[i].magic)) == 0) {
                        err_set(e, ERR_UNSUPPORTED, "it is compressed with %s", foreign[i].name);
                        return err_hint(e, "gzip and zstd are read; decompress others into a pipe, "
                                           "as in `xz -dc FILE | berth load`.");
                }
        return 0;
}

static int source_open(struct store *s, int input, const struct log *log, struct source *src,
                       struct err *e)
{
        struct stat st;

        if (fstat(input, &st) < 0)
                return err_sys(e, errno, "cannot read the archive");
        if (S_ISDIR(st.st_mode))
                return members_of_dir(input, &src->members, e);
        if (is_plain_file(input, &st))
                return members_of_tar(input, &src->members, e);
        if (spool(s, input, log, src, e) < 0 || check_spool(src->spool, e) < 0)
                return -1;
        return members_of_tar(src->spool, &src->members, e);
}

static void source_close(struct store *s, struct source *src)
{
        members_free(src->members);
        fd_close(src->spool);
        if (src->spooled)
                stage_remove(s, &src->stage);
}

/* ---- layers ---- */

struct loading {
        struct store *store;
        struct arena *arena;
        const struct archive_load_options *o;
        const struct watcher *w;
        const struct log *log;
        const struct members *members;
};

struct source_of { /* an image's layers */
        const struct loading *l;
        const struct found_image *i;
};

static int open_blob(void *ctx, size_t place, int *ret_fd, struct err *e)
{
        const struct source_of *s = ctx;
        uint64_t size;

        return members_open(s->l->members, s->i->layers[place].member, ret_fd, &size, e);
}

static int load_layers(const struct loading *l, const struct found_image *i, struct layer *layers,
                       struct err *e)
{
        struct source_of of = { l, i };
        size_t n = i->c.diff_ids.n;
        const char **names = arena_array(l->arena, const char *, n + 1);
        const char **digests = arena_array(l->arena, const char *, n + 1);
        struct pull_source source = { open_blob, names, digests, &of };
        struct pull_options options = { .keep_blobs = l->o->keep_blobs,
                                        .max_size = l->o->max_size,
                                        .jobs = members_are_apart(l->members) ? 0 : 1 };
        struct manifest m = { .nlayers = n,
                              .layers = arena_array(l->arena, struct descriptor, n + 1) };
        struct pull p = { .store = l->store,
                          .arena = l->arena,
                          .options = &options,
                          .watcher = l->w,
                          .log = l->log,
                          .source = &source };
        bool changed;

        for (size_t k = 0; k < n; k++) {
                names[k] = i->layers[k].member;
                digests[k] = i->layers[k].digest;
                m.layers[k] = (struct descriptor){
                        .media_type = MEDIA_DOCKER_LAYER_TAR,
                        .digest = digests[k] ? digests[k] : i->c.diff_ids.v[k],
                        .size = i->layers[k].size,
                };
        }
        return pull_layers(&p, &m, &i->c, layers, &changed, e);
}

/* ---- images ---- */

/* docker-archive has no manifest: one that names the layers' plain tars, in docker's words. */
static void make_manifest(const struct loading *l, struct found_image *i,
                          const struct layer *layers)
{
        size_t n = i->c.diff_ids.n;
        struct manifest m = { .docker = true,
                              .config = { .media_type = MEDIA_DOCKER_CONFIG,
                                          .digest = i->id,
                                          .size = i->nconfig },
                              .layers = arena_array(l->arena, struct descriptor, n + 1),
                              .nlayers = n };
        AUTO_BUF out = { 0 };

        for (size_t k = 0; k < n; k++)
                m.layers[k] = (struct descriptor){ .media_type = MEDIA_DOCKER_LAYER_TAR,
                                                   .digest = i->c.diff_ids.v[k],
                                                   .size = layers[k].size };
        compose_manifest(&m, &out);
        i->manifest = arena_strndup(l->arena, out.s, out.len);
        i->nmanifest = out.len;
}

/* An image of this ID that is here already, pulled perhaps: it only gets the names. */
static int reuse(const struct loading *l, const struct found_image *i, struct image *ret)
{
        struct image *all;
        size_t n;

        if (store_images(l->store, l->arena, &(struct image_filter){ .dangling = -1, .all = true },
                         &all, &n, NULL) < 0)
                return -1;
        for (size_t k = 0; k < n; k++) {
                if (!str_eq0(all[k].id, i->id))
                        continue;
                for (size_t j = 0; j < i->names.n; j++)
                        if (store_tag(l->store, i->names.v[j], all[k].digest, NULL) < 0)
                                return -1;
                *ret = all[k];
                return 0;
        }
        return -1;
}

static int load_image(const struct loading *l, struct found_image *i, struct archive_loaded *ret,
                      struct err *e)
{
        struct layer *layers = arena_array(l->arena, struct layer, i->c.diff_ids.n + 1);
        struct image image;
        struct record r;

        ret->id = i->id;
        ret->names = i->names;
        if (!i->manifest && reuse(l, i, &image) == 0) {
                ret->digest = image.digest;
                return 0;
        }
        if (load_layers(l, i, layers, e) < 0)
                return -1;
        if (!i->manifest)
                make_manifest(l, i, layers);
        r = (struct record){ .manifest = i->manifest,
                             .nmanifest = i->nmanifest,
                             .config = i->config,
                             .nconfig = i->nconfig,
                             .index = i->index,
                             .nindex = i->nindex,
                             .layers = layers,
                             .nlayers = i->c.diff_ids.n,
                             .names = i->names };
        if (image_record(l->store, l->arena, &r, &image, e) < 0)
                return -1;
        ret->digest = image.digest;
        return 0;
}

static int load_all(struct loading *l, struct archive_loaded **ret, size_t *ret_n, struct err *e)
{
        struct finding_context f = { l->members, l->arena, l->o, l->w };
        struct archive_loaded *loaded;
        struct found_image *found;
        size_t n;

        if (archive_find(&f, &found, &n, e) < 0)
                return -1;
        loaded = arena_array(l->arena, struct archive_loaded, n + 1);
        for (size_t i = 0; i < n; i++)
                if (load_image(l, &found[i], &loaded[i], e) < 0)
                        return err_in(e, "image \"%s\"",
                                      found[i].names.n ? found[i].names.v[0] : found[i].id);
        *ret = loaded;
        *ret_n = n;
        return 0;
}

int archive_load(struct store *s, struct arena *a, int input, const struct archive_load_options *o,
                 const struct watcher *w, const struct log *log, struct archive_loaded **ret,
                 size_t *ret_n, struct err *e)
{
        struct loading l = { s, a, o, w, log, NULL };
        struct source src = { .spool = -1 };
        int lease, r;

        if (store_lease(s, "load", &lease, e) < 0)
                return -1;
        r = source_open(s, input, log, &src, e);
        if (r == 0) {
                l.members = src.members;
                r = load_all(&l, ret, ret_n, e);
        }
        if (r < 0)
                store_full_hint(s, e);
        source_close(s, &src);
        store_lease_end(s, lease);
        if (r < 0) /* layers of an image that is not to be */
                store_collect(s, 0, NULL, NULL);
        return r;
}

int archive_load_place(struct store *s, struct arena *a, const struct archive_place *p,
                       const struct archive_load_options *o, const struct watcher *w,
                       const struct log *log, struct archive_loaded **ret, size_t *ret_n,
                       struct err *e)
{
        AUTO_FD int fd = open(p->path, O_RDONLY | O_CLOEXEC);
        struct archive_load_options with = *o;

        if (fd < 0)
                return err_sys(e, errno, "cannot open \"%s\"", p->path);
        with.reference = p->reference;
        if (archive_load(s, a, fd, &with, w, log, ret, ret_n, e) < 0)
                return err_in(e, "cannot load \"%s\"", p->path);
        return 0;
}
