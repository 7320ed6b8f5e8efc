/* What is found in archives, good and hostile, before anything is stored. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/test.h"
#include "codec/tar.h"
#include "image/archive-internal.h"
#include "image/compose.h"

#define LAYER "the bytes of a layer, which nobody unpacks here"

/* ---- archives ---- */

static void put(struct buf *out, enum tar_type type, const char *name, const char *data, size_t n)
{
        struct tar_entry t = { .type = type, .path = name, .mode = 0644 };

        if (type == TAR_FILE)
                t.size = t.stored = n;
        else
                t.link = data;
        tar_put_header(out, &t);
        if (type == TAR_FILE) {
                static const char zeros[512];

                buf_add(out, data, n);
                buf_add(out, zeros, tar_padding(n));
        }
}

static void put_text(struct buf *out, const char *name, const char *text)
{
        put(out, TAR_FILE, name, text, strlen(text));
}

static int file_of(const struct buf *b)
{
        int fd = memfd_create("archive", MFD_CLOEXEC);

        assert_true(fd >= 0 && fd_write_all(fd, b->s, b->len) == 0);
        return fd;
}

struct result {
        struct arena arena;
        struct err e;
        struct found_image *v;
        size_t n;
        char notes[200];
};

static void note(void *ctx, const char *text)
{
        struct result *r = ctx;

        snprintf(r->notes, sizeof r->notes, "%s", text);
}

static int find_with(struct result *r, const struct buf *b, const struct archive_load_options *o)
{
        struct watcher w = { .note = note, .ctx = r };
        AUTO_FD int fd = file_of(b);
        struct members *m = NULL;
        int status = members_of_tar(fd, &m, &r->e);

        if (status == 0) {
                struct finding_context f = { m, &r->arena, o, &w };

                status = archive_find(&f, &r->v, &r->n, &r->e);
        }
        members_free(m);
        return status;
}

static int find(struct result *r, const struct buf *b)
{
        struct archive_load_options o = { .platform = { "", "", "", "" } };

        return find_with(r, b, &o);
}

static void assert_refused(const struct buf *b, enum err_code code, const char *phrase)
{
        struct result r = { 0 };

        assert_int_equal(find(&r, b), -1);
        print_message("# %s\n", r.e.chain);
        assert_int_equal(r.e.code, code);
        assert_non_null(strstr(r.e.chain, phrase));
        arena_done(&r.arena);
}

/* ---- images in them ---- */

static char *digest_of(struct arena *a, const char *text)
{
        char digest[DIGEST_CAP];

        hash_bytes(HASH_SHA256, text, strlen(text), digest);
        return arena_strdup(a, digest);
}

static char *config_for(struct arena *a, const char *architecture)
{
        return arena_printf(a,
                            "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{},\"rootfs\":"
                            "{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
                            architecture, digest_of(a, LAYER));
}

static char *config(struct arena *a)
{
        return config_for(a, "amd64");
}

static char *docker_manifest(struct arena *a, const char *config_name, const char *layer)
{
        return arena_printf(a,
                            "[{\"Config\":\"%s\",\"RepoTags\":[\"busybox:1\",\"x.io/y:2\"],"
                            "\"Layers\":[\"%s\"]}]",
                            config_name, layer);
}

static void put_docker(struct buf *out, struct arena *a, const char *layer)
{
        char *name = arena_printf(a, "%s.json", digest_hex(digest_of(a, config(a))));

        put_text(out, name, config(a));
        put_text(out, "manifest.json", docker_manifest(a, name, layer));
}

static void put_blob(struct buf *out, struct arena *a, const char *text)
{
        put_text(out, arena_printf(a, "blobs/sha256/%s", digest_hex(digest_of(a, text))), text);
}

/* An image's manifest, after its blobs. */
static char *put_image(struct buf *out, struct arena *a, const char *architecture)
{
        char *c = config_for(a, architecture);
        struct descriptor layer = { .media_type = MEDIA_OCI_LAYER,
                                    .digest = digest_of(a, LAYER),
                                    .size = strlen(LAYER) };
        struct manifest m = { .config = { .media_type = MEDIA_OCI_CONFIG,
                                          .digest = digest_of(a, c),
                                          .size = strlen(c) },
                              .layers = &layer,
                              .nlayers = 1 };
        AUTO_BUF text = { 0 };
        char *manifest;

        compose_manifest(&m, &text);
        manifest = arena_strdup(a, buf_str(&text));
        put_blob(out, a, c);
        put_blob(out, a, LAYER);
        put_blob(out, a, manifest);
        return manifest;
}

static char *entry(struct arena *a, const char *manifest, const char *rest)
{
        return arena_printf(a,
                            "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\","
                            "\"size\":%zu%s}",
                            digest_of(a, manifest), strlen(manifest), rest);
}

static void put_index(struct buf *out, struct arena *a, const char *entries)
{
        put_text(out, "oci-layout", LAYOUT_VERSION);
        put_text(out, "index.json",
                 arena_printf(a, "{\"schemaVersion\":2,\"manifests\":[%s]}", entries));
}

static char *named(struct arena *a, const char *name)
{
        return arena_printf(a, ",\"annotations\":{\"" LAYOUT_NAME "\":\"%s\"}", name);
}

/* ---- docker-archive ---- */

static void test_docker(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct result r = { 0 };

        put_docker(&b, &a, "x/layer.tar");
        put_text(&b, "./x/layer.tar", LAYER);
        assert_int_equal(find(&r, &b), 0);
        assert_int_equal(r.n, 1);
        assert_null(r.v->manifest);
        assert_string_equal(r.v->id, digest_of(&a, config(&a)));
        assert_int_equal(r.v->names.n, 2);
        assert_string_equal(r.v->names.v[0], "docker.io/library/busybox:1");
        assert_string_equal(r.v->names.v[1], "x.io/y:2");
        assert_string_equal(r.v->layers[0].digest, digest_of(&a, LAYER));
        assert_int_equal(r.v->layers[0].size, strlen(LAYER));
        arena_done(&r.arena);
}

static void test_docker_links(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct result r = { 0 };

        put_docker(&b, &a, "b/layer.tar");
        put(&b, TAR_SYMLINK, "b/layer.tar", "../a/layer.tar", 0);
        put(&b, TAR_HARDLINK, "a/layer.tar", "c/layer.tar", 0);
        put_text(&b, "c/layer.tar", LAYER);
        assert_int_equal(find(&r, &b), 0);
        assert_int_equal(r.v->layers[0].size, strlen(LAYER));
        arena_done(&r.arena);
}

/* A compressed layer's digest is not its diffID. */
static void test_docker_compressed(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct result r = { 0 };

        put_docker(&b, &a, "layer");
        put_text(&b, "layer", "\x1f\x8b...");
        assert_int_equal(find(&r, &b), 0);
        assert_null(r.v->layers[0].digest);
        arena_done(&r.arena);
}

static void test_docker_chosen(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct result r = { 0 };
        struct archive_load_options o = { .reference = "docker.io/library/busybox:1",
                                          .platform = { "", "", "", "" } };

        put_docker(&b, &a, "layer");
        put_text(&b, "layer", LAYER);
        assert_int_equal(find_with(&r, &b, &o), 0);
        o.reference = "busybox:2";
        assert_int_equal(find_with(&r, &b, &o), -1);
        assert_int_equal(r.e.code, ERR_NOT_FOUND);
        o = (struct archive_load_options){ .platform = { "linux", "riscv64", "", "" } };
        assert_int_equal(find_with(&r, &b, &o), -1);
        assert_int_equal(r.e.code, ERR_NOT_FOUND);
        arena_done(&r.arena);
}

static void test_docker_broken(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };

        put_docker(&b, &a, "../../etc/passwd");
        assert_refused(&b, ERR_NOT_FOUND, "\"../../etc/passwd\"");
        buf_clear(&b);
        put_docker(&b, &a, "layer");
        assert_refused(&b, ERR_NOT_FOUND, "no member \"layer\"");
        buf_clear(&b);
        put_text(&b, "manifest.json", docker_manifest(&a, "config", "layer"));
        assert_refused(&b, ERR_NOT_FOUND, "no member \"config\"");
        put_text(&b, "config", "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}");
        assert_refused(&b, ERR_INVALID, "1 layers, its configuration 0");
        buf_clear(&b);
        put_text(&b, "manifest.json", docker_manifest(&a, arena_printf(&a, "%064d.json", 1), "l"));
        put_text(&b, arena_printf(&a, "%064d.json", 1), config(&a));
        assert_refused(&b, ERR_INVALID, "has digest sha256:");
        buf_clear(&b);
        put_text(&b, "manifest.json", "[");
        assert_refused(&b, ERR_INVALID, "line 1");
        put_text(&b, "manifest.json", "[]");
        assert_refused(&b, ERR_INVALID, "\"manifest.json\" twice");
        buf_clear(&b);
        put_text(&b, "manifest.json", "[{\"Config\":\"a\",\"Config\":\"b\"}]");
        assert_refused(&b, ERR_INVALID, "duplicate");
        buf_clear(&b);
        put_text(&b, "manifest.json", "[{\"Config\":[]}]");
        assert_refused(&b, ERR_INVALID, "Config");
        buf_clear(&b);
        put_text(&b, "manifest.json", "[]");
        assert_refused(&b, ERR_NOT_FOUND, "no image");
        buf_clear(&b);
        put_text(&b, "manifest.json", "[{\"Config\":\"c\",\"RepoTags\":[\"x/UPPER\"]}]");
        assert_refused(&b, ERR_INVALID, "x/UPPER");
        buf_clear(&b);
        put_text(&b, "repositories", "{}");
        assert_refused(&b, ERR_UNSUPPORTED, "1.10");
        buf_clear(&b);
        put_text(&b, "etc/passwd", "");
        assert_refused(&b, ERR_INVALID, "no image");
}

/* ---- members ---- */

static void test_names_that_leave(void **state)
{
        static const char *const names[] = { "../manifest.json", "/etc/passwd", "a/../../b",
                                             "a/.." };
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                buf_clear(&b);
                put_docker(&b, &a, "layer");
                put_text(&b, names[i], "");
                assert_refused(&b, ERR_INVALID, "leaves the archive");
        }
        buf_clear(&b);
        put(&b, TAR_DIR, "../x/", NULL, 0);
        assert_refused(&b, ERR_INVALID, "leaves the archive");
}

static void test_links_that_leave(void **state)
{
        static const struct {
                enum tar_type type;
                const char *target, *problem;
        } links[] = {
                { TAR_SYMLINK, "/etc/passwd", "links out" },
                { TAR_SYMLINK, "../../etc/passwd", "links out" },
                { TAR_HARDLINK, "/etc/passwd", "links out" },
                { TAR_HARDLINK, "../layer", "links out" },
                { TAR_SYMLINK, "gone", "no member \"d/gone\"" },
                { TAR_SYMLINK, "layer", "in a circle" },
        };
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
                buf_clear(&b);
                put_docker(&b, &a, "d/layer");
                put(&b, links[i].type, "d/layer", links[i].target, 0);
                assert_refused(&b, i == 4 ? ERR_NOT_FOUND : ERR_INVALID, links[i].problem);
        }
}

static void test_devices(void **state)
{
        AUTO_BUF b = { 0 };

        put(&b, TAR_CHAR, "manifest.json", NULL, 0);
        assert_refused(&b, ERR_INVALID, "no file");
}

static void test_cut_off(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct result r = { 0 };
        size_t whole;

        put_docker(&b, &a, "layer");
        whole = b.len;
        put_text(&b, "layer", LAYER);
        b.len = whole + 512 + strlen(LAYER); /* without its padding it is all there */
        assert_int_equal(find(&r, &b), 0);
        arena_done(&r.arena);
        b.len--;
        assert_refused(&b, ERR_INVALID, "cut off in member \"layer\"");
        b.len = whole + 100;
        assert_refused(&b, ERR_INVALID, "");
}

static void test_large_manifest(void **state)
{
        AUTO_BUF b = { 0 };
        AUTO_FREE char *text = mem_alloc(MANIFEST_MAX + 2);

        memset(text, ' ', MANIFEST_MAX + 1);
        put_text(&b, "manifest.json", text);
        assert_refused(&b, ERR_LIMIT, "the limit is");
}

static void test_no_tar(void **state)
{
        AUTO_BUF b = { 0 };

        for (int i = 0; i < 1000; i++)
                buf_puts(&b, "not a tar ");
        assert_refused(&b, ERR_INVALID, "no tar file");
        buf_clear(&b);
        assert_refused(&b, ERR_INVALID, "no image");
}

/* ---- layouts ---- */

static void test_layout(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct result r = { 0 };
        char *manifest = put_image(&b, &a, "amd64");

        put_index(&b, &a, entry(&a, manifest, named(&a, "latest")));
        assert_int_equal(find(&r, &b), 0);
        assert_int_equal(r.n, 1);
        assert_string_equal(r.v->digest, digest_of(&a, manifest));
        assert_memory_equal(r.v->manifest, manifest, strlen(manifest));
        assert_string_equal(r.v->id, digest_of(&a, config(&a)));
        assert_string_equal(r.v->names.v[0], "localhost/latest:latest");
        assert_string_equal(r.v->layers[0].digest, digest_of(&a, LAYER));
        assert_null(r.v->index);
        arena_done(&r.arena);
}

static void test_layout_names(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct result r = { 0 };
        struct archive_load_options o = { .reference = "one", .platform = { "", "", "", "" } };
        char *manifest = put_image(&b, &a, "amd64");
        const char *full = ",\"annotations\":{\"" LAYOUT_NAME "\":\"1\",\"" LAYOUT_NAME_FULL
                           "\":\"docker.io/library/busybox:1\"}";

        put_index(&b, &a,
                  arena_printf(&a, "%s,%s,%s", entry(&a, manifest, named(&a, "one")),
                               entry(&a, manifest, full), entry(&a, manifest, named(&a, "A B"))));
        assert_int_equal(find(&r, &b), 0);
        assert_int_equal(r.n, 3);
        assert_string_equal(r.v[1].names.v[0], "docker.io/library/busybox:1");
        assert_int_equal(r.v[2].names.n, 0);
        assert_non_null(strstr(r.notes, "A B"));
        assert_int_equal(find_with(&r, &b, &o), 0);
        assert_int_equal(r.n, 1);
        o.reference = "two";
        assert_int_equal(find_with(&r, &b, &o), -1);
        arena_done(&r.arena);
}

static char *for_platform(struct arena *a, const char *architecture)
{
        return arena_printf(a, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"}",
                            architecture);
}

/* An index below index.json, and platforms side by side in it, are chosen from alike. */
static void test_layout_platforms(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        AUTO_BUF nested = { 0 };
        struct result r = { 0 };
        struct archive_load_options o = { .platform = { "linux", "s390x", "", "" } };
        char *amd = put_image(&b, &a, "amd64"), *ibm, *entries, *index;

        buf_clear(&b);
        ibm = put_image(&b, &a, "s390x");
        entries = arena_printf(&a, "%s,%s", entry(&a, amd, for_platform(&a, "amd64")),
                               entry(&a, ibm, for_platform(&a, "s390x")));
        buf_add(&nested, b.s, b.len);
        put_index(&b, &a, entries); /* amd64's blobs are not there, nor needed */
        assert_int_equal(find_with(&r, &b, &o), 0);
        assert_int_equal(r.n, 1);
        assert_string_equal(r.v->digest, digest_of(&a, ibm));
        index = arena_printf(&a,
                             "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
                             "\",\"manifests\":[%s]}",
                             entries);
        put_blob(&nested, &a, index);
        put_index(&nested, &a,
                  arena_printf(&a,
                               "{\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"digest\":\"%s\","
                               "\"size\":%zu}",
                               digest_of(&a, index), strlen(index)));
        assert_int_equal(find_with(&r, &nested, &o), 0);
        assert_string_equal(r.v->digest, digest_of(&a, ibm));
        assert_string_equal(r.v->index_digest, digest_of(&a, index));
        o.platform.architecture = "riscv64";
        assert_int_equal(find_with(&r, &nested, &o), -1);
        assert_int_equal(r.e.code, ERR_NOT_FOUND);
        arena_done(&r.arena);
}

static void test_layout_broken(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        AUTO_BUF other = { 0 };
        char *manifest = put_image(&b, &a, "amd64"), *name;
        struct buf empty = { 0 };

        put_index(&other, &a, entry(&a, manifest, ""));
        assert_refused(&other, ERR_NOT_FOUND, "no member \"blobs/sha256/");
        name = arena_printf(&a, "blobs/sha256/%s", digest_hex(digest_of(&a, manifest)));
        put_text(&other, name, arena_printf(&a, "%.*s ", (int)strlen(manifest) - 1, manifest));
        assert_refused(&other, ERR_INVALID, "has digest");
        buf_clear(&other);
        put_index(&other, &a, entry(&a, manifest, ""));
        put_text(&other, name, "{}");
        assert_refused(&other, ERR_INVALID, "has 2 bytes, not");
        buf_clear(&other);
        put_text(&other, "oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}");
        assert_refused(&other, ERR_UNSUPPORTED, "2.0.0");
        buf_clear(&other);
        put_text(&other, "index.json", "{}");
        assert_refused(&other, ERR_NOT_FOUND, "oci-layout");
        buf_clear(&other);
        put_index(&other, &a,
                  "{\"mediaType\":\"x\",\"digest\":\"sha256:../../../etc\",\"size\":1}");
        assert_refused(&other, ERR_INVALID, "no digest");
        put_index(&b, &a, entry(&a, manifest, ""));
        put_text(&b, name, manifest);
        assert_refused(&b, ERR_INVALID, "twice");
        assert_refused(&empty, ERR_INVALID, "no image");
}

/* podman's `dir:`: blobs by their hex digits, one manifest. */
static void test_dir(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        AUTO_BUF rest = { 0 };
        struct result r = { 0 };
        char *manifest = put_image(&rest, &a, "amd64");

        put_text(&b, "version", "Directory Transport Version: 1.1\n");
        put_text(&b, "manifest.json", manifest);
        put_text(&b, digest_hex(digest_of(&a, config(&a))), config(&a));
        assert_refused(&b, ERR_NOT_FOUND, "layer 1");
        put_text(&b, digest_hex(digest_of(&a, LAYER)), LAYER);
        assert_int_equal(find(&r, &b), 0);
        assert_int_equal(r.n, 1);
        assert_string_equal(r.v->digest, digest_of(&a, manifest));
        assert_int_equal(r.v->names.n, 0);
        arena_done(&r.arena);
}

/* docker 25's archives are both: exact manifests from the layout, names from manifest.json. */
static void test_hybrid(void **state)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF b = { 0 };
        struct result r = { 0 };
        char *manifest = put_image(&b, &a, "amd64");

        put_index(&b, &a, entry(&a, manifest, named(&a, "x.io/y:2")));
        put_text(&b, "manifest.json",
                 docker_manifest(
                         &a,
                         arena_printf(&a, "blobs/sha256/%s", digest_hex(digest_of(&a, config(&a)))),
                         "whatever"));
        assert_int_equal(find(&r, &b), 0);
        assert_string_equal(r.v->digest, digest_of(&a, manifest));
        assert_int_equal(r.v->names.n, 2);
        assert_string_equal(r.v->names.v[0], "x.io/y:2");
        assert_string_equal(r.v->names.v[1], "docker.io/library/busybox:1");
        arena_done(&r.arena);
}

/* ---- places ---- */

static void test_places(void **state)
{
        static const struct {
                const char *text;
                int status;
                enum archive_format format;
                const char *path, *reference;
        } cases[] = {
                { "oci:/tmp/x:1.0", 1, ARCHIVE_OCI_DIR, "/tmp/x", "1.0" },
                { "oci:/tmp/x", 1, ARCHIVE_OCI_DIR, "/tmp/x", NULL },
                { "oci-archive:x.tar:docker.io/a/b:c", 1, ARCHIVE_OCI, "x.tar", "docker.io/a/b:c" },
                { "docker-archive:x.tar:", 1, ARCHIVE_DOCKER, "x.tar", NULL },
                { "dir:/tmp/a:b", 1, ARCHIVE_DOCKER_DIR, "/tmp/a:b", NULL },
                { "oci::x", -1, 0, NULL, NULL },
                { "dir:", -1, 0, NULL, NULL },
                { "docker-daemon:busybox:latest", -1, 0, NULL, NULL },
                { "docker://busybox", 0, 0, NULL, "busybox" },
                { "busybox:latest", 0, 0, NULL, "busybox:latest" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_ARENA a = { 0 };
                struct archive_place p = { 0 };
                const char *reference = NULL;
                struct err e;
                int r = archive_place_parse(&a, cases[i].text, &p, &reference, &e);

                print_message("# %s\n", cases[i].text);
                assert_int_equal(r, cases[i].status);
                if (r == 1) {
                        assert_int_equal(p.format, cases[i].format);
                        assert_string_equal(p.path, cases[i].path);
                        assert_true(str_eq0(p.reference, cases[i].reference));
                } else if (r == 0) {
                        assert_string_equal(reference, cases[i].reference);
                }
        }
}

/* ---- writing ---- */

/* What the sink writes the index reads again, and it is the same each time. */
static void test_sink(void **state)
{
        AUTO_ARENA a = { 0 };
        struct buf all[2] = { 0 };
        struct err e;

        for (int i = 0; i < 2; i++) {
                AUTO_FD int fd = memfd_create("sink", MFD_CLOEXEC);
                struct members *m;
                struct sink k;
                const char *text;
                char buf[8192];
                ssize_t len;
                size_t n;

                sink_init(&k, fd, true);
                assert_int_equal(sink_put(&k, "a/b/one", "1", 1, &e), 0);
                assert_int_equal(sink_put(&k, "a/b/two", "22", 2, &e), 0);
                assert_true(sink_has(&k, "a/b/one"));
                assert_false(sink_has(&k, "a/b/three"));
                assert_int_equal(sink_finish(&k, &e), 0);
                sink_done(&k);
                assert_int_equal(members_of_tar(fd, &m, &e), 0);
                assert_int_equal(members_read(m, &a, "a/b/two", 9, &text, &n, &e), 0);
                assert_string_equal(text, "22");
                assert_int_equal(members_read(m, &a, "a/b/two", 1, &text, &n, &e), -1);
                assert_int_equal(e.code, ERR_LIMIT);
                members_free(m);
                len = pread(fd, buf, sizeof buf, 0);
                assert_true(len > 0 && (size_t)len < sizeof buf);
                buf_add(&all[i], buf, (size_t)len);
        }
        assert_int_equal(all[0].len, all[1].len);
        assert_memory_equal(all[0].s, all[1].s, all[0].len);
        buf_done(&all[0]);
        buf_done(&all[1]);
}

/* A directory's members appear when they are whole. */
static void test_sink_dir(void **state)
{
        char path[] = "/tmp/test-archive.XXXXXX", name[] = "a/one";
        AUTO_FD int dir = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        struct sink k;
        struct err e;
        int fd;

        assert_true(dir >= 0);
        sink_init(&k, dir, false);
        assert_int_equal(sink_put(&k, name, "1", 1, &e), 0);
        assert_int_equal(sink_put(&k, name, "22", 2, &e), 0); /* replaced */
        assert_int_equal(sink_begin(&k, "two", 5, &fd, &e), 0);
        assert_int_equal(fd_write_all(fd, "123", 3), 0);
        assert_int_equal(sink_end(&k, &e), -1); /* fewer bytes than were announced */
        assert_int_equal(faccessat(dir, "two", F_OK, 0), -1);
        sink_done(&k);
        assert_int_equal(unlinkat(dir, name, 0), 0);
        assert_int_equal(unlinkat(dir, "a", AT_REMOVEDIR), 0);
        assert_int_equal(rmdir(path), 0); /* nothing else is left */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_docker),
                cmocka_unit_test(test_docker_links),
                cmocka_unit_test(test_docker_compressed),
                cmocka_unit_test(test_docker_chosen),
                cmocka_unit_test(test_docker_broken),
                cmocka_unit_test(test_names_that_leave),
                cmocka_unit_test(test_links_that_leave),
                cmocka_unit_test(test_devices),
                cmocka_unit_test(test_cut_off),
                cmocka_unit_test(test_large_manifest),
                cmocka_unit_test(test_no_tar),
                cmocka_unit_test(test_layout),
                cmocka_unit_test(test_layout_names),
                cmocka_unit_test(test_layout_platforms),
                cmocka_unit_test(test_layout_broken),
                cmocka_unit_test(test_dir),
                cmocka_unit_test(test_hybrid),
                cmocka_unit_test(test_places),
                cmocka_unit_test(test_sink),
                cmocka_unit_test(test_sink_dir),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
