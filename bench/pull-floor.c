/* The physical limit of pulling an image on this machine: sockets, SHA-256 of blob and tar, igzip
 * or libzstd, and the fewest system calls that make a tree of files. No TLS, no HTTP library, no
 * retries, no limits, little safety (O_NOFOLLOW, but parents are trusted), no record of anything:
 * a yardstick for programs that pull, not a design.
 *
 * usage: pull-floor [-t THREADS] [-s] [-b] [-k] HOST PORT REPOSITORY DIR < LAYERS
 *   LAYERS  a line for each layer: its digest and its size, "sha256:... 12345"
 *   -t N    layers at once, biggest first (2)
 *   -s      durable: one syncfs() in the end; with -k fdatasync() of each archive
 *   -b      keep the compressed blobs too
 *   -k      keep the tar instead of unpacking it: what an EROFS index over it would need
 * build: cc -O2 -pthread -o pull-floor pull-floor.c -lcrypto -lisal -lzstd */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zstd.h>

enum {
        MAX_LAYERS = 512,
        IN_BYTES = 256 << 10,
        OUT_BYTES = 1 << 20,
        BLOCK = 512,
        MAX_XATTRS = 16,
        MAX_NAME = 4096
};

struct layer {
        char digest[80];
        uint64_t size;
        int number;
};

struct options {
        int threads, sync, blobs, keep;
        const char *host, *repository;
        int port, dir;
};

static struct options options = { .threads = 2 };
static struct layer layers[MAX_LAYERS];
static int nlayers, next_layer;
static pthread_mutex_t next_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the tree ---- */

struct xattr {
        char name[256], value[MAX_NAME];
        size_t len;
};

/* What extended headers said about the next entry. */
struct extended {
        char *path, *link;
        uint64_t size;
        int has_size, has_mtime;
        struct timespec mtime;
        struct xattr xattrs[MAX_XATTRS];
        int nxattrs;
};

struct directory {
        char *path;
        struct timespec mtime;
};

enum tar_state { TAR_HEADER, TAR_DATA, TAR_EXTENDED, TAR_PADDING };

struct tree {
        int root;
        enum tar_state state;
        unsigned char header[BLOCK];
        size_t filled;
        uint64_t left, padding;
        char path[MAX_NAME], link[MAX_NAME];
        char type;
        unsigned mode, uid, gid, major, minor;
        struct timespec mtime;
        int file;
        struct extended next;
        char *special; /* the extended header being read */
        size_t nspecial;
        char special_type;
        int parent; /* of the last entry: most have the same */
        char parent_path[MAX_NAME];
        struct directory *dirs; /* their times are set last */
        size_t ndirs;
};

static uint64_t number(const unsigned char *p, int n)
{
        uint64_t v = 0;

        if (p[0] & 0x80) { /* base 256 */
                for (int i = n - 8; i < n; i++)
                        v = v << 8 | p[i];
                return v;
        }
        for (int i = 0; i < n && p[i] >= '0' && p[i] <= '7'; i++)
                v = v * 8 + (uint64_t)(p[i] - '0');
        return v;
}

static void make_parents(struct tree *t, char *path)
{
        for (char *slash = path; (slash = strchr(slash, '/')); slash++) {
                *slash = 0;
                mkdirat(t->root, path, 0755);
                *slash = '/';
        }
        mkdirat(t->root, path, 0755);
}

/* The directory of the entry, and its name there. */
static int parent_of(struct tree *t, const char **base)
{
        char *slash = strrchr(t->path, '/');
        size_t n = slash ? (size_t)(slash - t->path) : 0;

        *base = slash ? slash + 1 : t->path;
        if (!slash)
                return t->root;
        if (t->parent >= 0 && strlen(t->parent_path) == n && !memcmp(t->parent_path, t->path, n))
                return t->parent;
        if (t->parent >= 0)
                close(t->parent);
        memcpy(t->parent_path, t->path, n);
        t->parent_path[n] = 0;
        t->parent = openat(t->root, t->parent_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (t->parent < 0 && errno == ENOENT) {
                make_parents(t, t->parent_path);
                t->parent = openat(t->root, t->parent_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        if (t->parent < 0)
                err(1, "%s", t->parent_path);
        return t->parent;
}

static void whiteout(int dir, const char *name)
{
        char path[64];

        if (strcmp(name, ".wh..wh..opq") != 0) {
                mknodat(dir, name + 4, S_IFCHR, 0);
                return;
        }
        snprintf(path, sizeof path, "/proc/self/fd/%d", dir);
        setxattr(path, "trusted.overlay.opaque", "y", 1, 0);
}

/* Owner, set-id bits and times of what is no open file. */
static void attributes_at(struct tree *t, int dir, const char *name)
{
        struct timespec times[2] = { t->mtime, t->mtime };

        if (t->uid || t->gid)
                fchownat(dir, name, t->uid, t->gid, AT_SYMLINK_NOFOLLOW);
        if ((t->mode & 07000) && t->type != '2')
                fchmodat(dir, name, t->mode, 0);
        if (t->type != '5')
                utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}

static void remember_directory(struct tree *t)
{
        if ((t->ndirs & (t->ndirs - 1)) == 0)
                t->dirs = realloc(t->dirs, (t->ndirs ? 2 * t->ndirs : 1) * sizeof *t->dirs);
        t->dirs[t->ndirs++] = (struct directory){ strdup(t->path), t->mtime };
}

static void make_special(struct tree *t, int dir, const char *name)
{
        unsigned kind = t->type == '6' ? S_IFIFO : t->type == '3' ? S_IFCHR : S_IFBLK;

        mknodat(dir, name, kind | (t->mode & 0777), makedev(t->major, t->minor));
        attributes_at(t, dir, name);
}

static void begin_entry(struct tree *t)
{
        const char *name;
        int dir = parent_of(t, &name);

        if (!strncmp(name, ".wh.", 4)) {
                whiteout(dir, name);
                return;
        }
        switch (t->type) {
        case '0':
        case '\0':
        case '7':
                t->file = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW,
                                 t->mode & 0777);
                if (t->file < 0)
                        err(1, "%s", t->path);
                return;
        case '5':
                if (mkdirat(dir, name, t->mode & 0777) < 0 && errno != EEXIST)
                        err(1, "%s", t->path);
                attributes_at(t, dir, name);
                remember_directory(t);
                return;
        case '2':
                if (symlinkat(t->link, dir, name) < 0)
                        err(1, "%s", t->path);
                attributes_at(t, dir, name);
                return;
        case '1':
                if (linkat(t->root, t->link, dir, name, 0) < 0)
                        err(1, "%s -> %s", t->path, t->link);
                return;
        default:
                make_special(t, dir, name);
        }
}

static void end_entry(struct tree *t)
{
        struct timespec times[2] = { t->mtime, t->mtime };

        if (t->file >= 0) {
                if (t->uid || t->gid)
                        fchown(t->file, t->uid, t->gid);
                if (t->mode & 07000)
                        fchmod(t->file, t->mode);
                for (int i = 0; i < t->next.nxattrs; i++)
                        fsetxattr(t->file, t->next.xattrs[i].name, t->next.xattrs[i].value,
                                  t->next.xattrs[i].len, 0);
                futimens(t->file, times);
                close(t->file);
                t->file = -1;
        }
        t->next.nxattrs = t->next.has_size = t->next.has_mtime = 0;
}

/* ---- tar ---- */

static struct timespec parse_time(const char *s)
{
        struct timespec t = { .tv_sec = strtoll(s, NULL, 10) };
        const char *dot = strchr(s, '.');

        for (int i = 0, digits = dot != NULL; i < 9; i++) {
                digits = digits && dot[1 + i] >= '0' && dot[1 + i] <= '9';
                t.tv_nsec = t.tv_nsec * 10 + (digits ? dot[1 + i] - '0' : 0);
        }
        return t;
}

static void pax_record(struct extended *x, const char *key, char *value, size_t len)
{
        value[len] = 0;
        if (!strcmp(key, "path")) {
                x->path = strdup(value);
        } else if (!strcmp(key, "linkpath")) {
                x->link = strdup(value);
        } else if (!strcmp(key, "size")) {
                x->size = strtoull(value, NULL, 10);
                x->has_size = 1;
        } else if (!strcmp(key, "mtime")) {
                x->mtime = parse_time(value);
                x->has_mtime = 1;
        } else if (!strncmp(key, "SCHILY.xattr.", 13) && x->nxattrs < MAX_XATTRS &&
                   len < MAX_NAME) {
                struct xattr *a = &x->xattrs[x->nxattrs++];

                snprintf(a->name, sizeof a->name, "%s", key + 13);
                memcpy(a->value, value, len);
                a->len = len;
        }
}

static void pax(struct extended *x, char *p, size_t n)
{
        for (char *end = p + n; p < end;) {
                char *space, *equals;
                size_t len = strtoul(p, &space, 10);

                if (len < 5 || p + len > end || *space != ' ' ||
                    !(equals = memchr(space, '=', (size_t)(p + len - space))))
                        errx(1, "bad extended header");
                *equals = 0;
                pax_record(x, space + 1, equals + 1, (size_t)(p + len - 1 - (equals + 1)));
                p += len;
        }
}

static void end_special(struct tree *t)
{
        t->special[t->nspecial] = 0;
        if (t->special_type == 'x')
                pax(&t->next, t->special, t->nspecial);
        else if (t->special_type == 'L')
                t->next.path = strdup(t->special);
        else if (t->special_type == 'K')
                t->next.link = strdup(t->special);
}

/* "./a/b/" -> "a/b" */
static void take_name(char *to, char **extended, const char *fallback)
{
        const char *from = *extended ? *extended : fallback;
        size_t n;

        while (!strncmp(from, "./", 2) || *from == '/')
                from += *from == '/' ? 1 : 2;
        snprintf(to, MAX_NAME, "%s", from);
        for (n = strlen(to); n && to[n - 1] == '/';)
                to[--n] = 0;
        free(*extended);
        *extended = NULL;
}

static void take_names(struct tree *t)
{
        const unsigned char *h = t->header;
        char name[BLOCK];

        if (!memcmp(h + 257, "ustar\0", 6) && h[345])
                snprintf(name, sizeof name, "%.155s/%.100s", (const char *)h + 345,
                         (const char *)h);
        else
                snprintf(name, sizeof name, "%.100s", (const char *)h);
        take_name(t->path, &t->next.path, name);
        snprintf(name, sizeof name, "%.100s", (const char *)h + 157);
        if (t->type == '1') {
                take_name(t->link, &t->next.link, name);
                return;
        }
        snprintf(t->link, sizeof t->link, "%s", t->next.link ? t->next.link : name);
        free(t->next.link);
        t->next.link = NULL;
}

static void header(struct tree *t)
{
        const unsigned char *h = t->header;
        uint64_t size = number(h + 124, 12);

        if (!h[0])
                return;
        t->type = (char)h[156];
        t->padding = -size & (BLOCK - 1);
        if (strchr("xgLK", t->type) && t->type) {
                t->special_type = t->type;
                t->special = realloc(t->special, size + 1);
                t->nspecial = 0;
                t->left = size;
                t->state = TAR_EXTENDED;
                return;
        }
        if (t->next.has_size)
                size = t->next.size;
        t->mode = (unsigned)number(h + 100, 8) & 07777;
        t->uid = (unsigned)number(h + 108, 8);
        t->gid = (unsigned)number(h + 116, 8);
        t->mtime = t->next.has_mtime ? t->next.mtime
                                     : (struct timespec){ .tv_sec = (time_t)number(h + 136, 12) };
        t->major = (unsigned)number(h + 329, 8);
        t->minor = (unsigned)number(h + 337, 8);
        take_names(t);
        if (*t->path && strcmp(t->path, ".") != 0)
                begin_entry(t);
        t->left = t->type == '0' || !t->type || t->type == '7' ? size : 0;
        t->padding = -t->left & (BLOCK - 1);
        t->state = TAR_DATA;
        if (!t->left) {
                end_entry(t);
                t->state = TAR_HEADER;
        }
}

static void write_all(int fd, const void *p, size_t n)
{
        for (const char *at = p; n;) {
                ssize_t done = write(fd, at, n);

                if (done < 0)
                        err(1, "write");
                at += done;
                n -= (size_t)done;
        }
}

/* The bytes of a part have all come: what the state becomes. */
static void part_end(struct tree *t)
{
        if (t->state == TAR_DATA)
                end_entry(t);
        else if (t->state == TAR_EXTENDED)
                end_special(t);
        t->left = t->padding;
        t->state = t->state != TAR_PADDING && t->padding ? TAR_PADDING : TAR_HEADER;
}

static void tree_feed(struct tree *t, const unsigned char *p, size_t n)
{
        while (n) {
                size_t want = t->state == TAR_HEADER ? BLOCK - t->filled : t->left;
                size_t k = want < n ? want : n;

                if (t->state == TAR_HEADER)
                        memcpy(t->header + t->filled, p, k);
                else if (t->state == TAR_EXTENDED)
                        memcpy(t->special + t->nspecial, p, k);
                else if (t->state == TAR_DATA && t->file >= 0)
                        write_all(t->file, p, k);
                p += k;
                n -= k;
                if (t->state == TAR_HEADER) {
                        t->filled = (t->filled + k) % BLOCK;
                        if (!t->filled)
                                header(t);
                        continue;
                }
                t->nspecial += t->state == TAR_EXTENDED ? k : 0;
                t->left -= k;
                if (!t->left)
                        part_end(t);
        }
}

static void tree_end(struct tree *t)
{
        while (t->ndirs--) {
                struct directory *d = &t->dirs[t->ndirs];
                struct timespec times[2] = { d->mtime, d->mtime };

                utimensat(t->root, d->path, times, 0);
                free(d->path);
        }
        if (t->parent >= 0)
                close(t->parent);
        free(t->dirs);
        free(t->special);
        close(t->root);
}

/* ---- one layer ---- */

struct body {
        int fd;
        uint64_t left;
        unsigned char buf[IN_BYTES];
        size_t n; /* of the body, that came with the header */
};

static void http_get(struct body *b, const struct layer *l)
{
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(options.port) };
        char request[1024], *end = NULL, *length;
        int n = snprintf(request, sizeof request,
                         "GET /v2/%s/blobs/%s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n",
                         options.repository, l->digest, options.host, options.port);
        size_t have = 0;

        b->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (inet_pton(AF_INET, options.host, &to.sin_addr) != 1 ||
            connect(b->fd, (struct sockaddr *)&to, sizeof to) < 0)
                err(1, "%s:%d", options.host, options.port);
        write_all(b->fd, request, (size_t)n);
        while (!end) {
                ssize_t got = read(b->fd, b->buf + have, sizeof b->buf - have);

                if (got <= 0)
                        errx(1, "the answer ends in its header");
                have += (size_t)got;
                end = memmem(b->buf, have, "\r\n\r\n", 4);
        }
        length = memmem(b->buf, have, "ontent-Length: ", 15);
        if (memcmp(b->buf, "HTTP/1.1 200", 12) != 0 || !length || length > end)
                errx(1, "the answer is %.60s", (char *)b->buf);
        b->left = strtoull(length + 15, NULL, 10);
        b->n = have - (size_t)(end + 4 - (char *)b->buf);
        memmove(b->buf, end + 4, b->n);
}

/* The next bytes of the body, in b->buf; 0 at its end. */
static size_t http_read(struct body *b)
{
        ssize_t n = (ssize_t)b->n;

        b->n = 0;
        if (!b->left)
                return 0;
        if (!n)
                n = read(b->fd, b->buf, sizeof b->buf);
        if (n <= 0)
                errx(1, "the body ends early");
        b->left -= (uint64_t)n;
        return (size_t)n;
}

struct job {
        const struct layer *layer;
        EVP_MD_CTX *compressed, *plain;
        struct inflate_state gzip;
        ZSTD_DCtx *zstd;
        unsigned char out[OUT_BYTES];
        struct body body;
        struct tree tree;
        int blob, archive; /* -1: not kept */
};

static void put(struct job *j, size_t n)
{
        EVP_DigestUpdate(j->plain, j->out, n);
        if (j->archive >= 0)
                write_all(j->archive, j->out, n);
        else
                tree_feed(&j->tree, j->out, n);
}

static void inflate_gzip(struct job *j, size_t n)
{
        struct inflate_state *g = &j->gzip;

        g->next_in = j->body.buf;
        g->avail_in = (uint32_t)n;
        do {
                g->next_out = j->out;
                g->avail_out = OUT_BYTES;
                if (isal_inflate(g) < 0)
                        errx(1, "bad gzip");
                put(j, OUT_BYTES - g->avail_out);
        } while (g->block_state != ISAL_BLOCK_FINISH && (g->avail_in || !g->avail_out));
}

static void inflate_zstd(struct job *j, size_t n)
{
        ZSTD_inBuffer in = { j->body.buf, n, 0 };
        ZSTD_outBuffer out;

        do {
                out = (ZSTD_outBuffer){ j->out, OUT_BYTES, 0 };
                if (ZSTD_isError(ZSTD_decompressStream(j->zstd, &out, &in)))
                        errx(1, "bad zstd");
                put(j, out.pos);
        } while (in.pos < n || out.pos == OUT_BYTES);
}

static void finish(struct job *j)
{
        unsigned char sum[EVP_MAX_MD_SIZE];
        char hex[80] = "sha256:";
        unsigned n;

        EVP_DigestFinal_ex(j->compressed, sum, &n);
        for (unsigned i = 0; i < n; i++)
                snprintf(hex + 7 + 2 * i, 3, "%02x", sum[i]);
        if (strcmp(hex, j->layer->digest) != 0)
                errx(1, "%s is %s", j->layer->digest, hex);
        EVP_DigestFinal_ex(j->plain, sum, &n);
        tree_end(&j->tree);
        if (j->archive >= 0 && options.sync)
                fdatasync(j->archive);
        close(j->archive);
        close(j->blob);
        close(j->body.fd);
        EVP_MD_CTX_free(j->compressed);
        EVP_MD_CTX_free(j->plain);
        ZSTD_freeDCtx(j->zstd);
}

static int layer_file(const struct layer *l, const char *kind)
{
        char name[32];
        int fd;

        snprintf(name, sizeof name, "%d.%s", l->number, kind);
        fd = openat(options.dir, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
        if (fd < 0)
                err(1, "%s", name);
        return fd;
}

static EVP_MD_CTX *sha256(void)
{
        EVP_MD_CTX *c = EVP_MD_CTX_new();

        EVP_DigestInit_ex(c, EVP_sha256(), NULL);
        return c;
}

static void open_outputs(struct job *j)
{
        char name[32];

        snprintf(name, sizeof name, "%d", j->layer->number);
        mkdirat(options.dir, name, 0755);
        j->tree.root = openat(options.dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        j->tree.parent = j->tree.file = -1;
        j->blob = options.blobs ? layer_file(j->layer, "blob") : -1;
        j->archive = options.keep ? layer_file(j->layer, "tar") : -1;
}

static void pull(const struct layer *l)
{
        struct job *j = calloc(1, sizeof *j);
        size_t n;

        j->layer = l;
        j->compressed = sha256();
        j->plain = sha256();
        open_outputs(j);
        http_get(&j->body, l);
        while ((n = http_read(&j->body))) {
                if (!j->zstd && !j->gzip.crc_flag && j->body.buf[0] == 0x28) {
                        j->zstd = ZSTD_createDCtx();
                } else if (!j->zstd && !j->gzip.crc_flag) {
                        isal_inflate_init(&j->gzip);
                        j->gzip.crc_flag = ISAL_GZIP;
                }
                EVP_DigestUpdate(j->compressed, j->body.buf, n);
                if (j->blob >= 0)
                        write_all(j->blob, j->body.buf, n);
                if (j->zstd)
                        inflate_zstd(j, n);
                else
                        inflate_gzip(j, n);
        }
        finish(j);
        free(j);
}

static void *worker(void *unused)
{
        for (;;) {
                int i;

                pthread_mutex_lock(&next_lock);
                i = next_layer < nlayers ? next_layer++ : -1;
                pthread_mutex_unlock(&next_lock);
                if (i < 0)
                        return unused;
                pull(&layers[i]);
        }
}

static int bigger_first(const void *a, const void *b)
{
        const struct layer *x = a, *y = b;

        return (x->size < y->size) - (x->size > y->size);
}

static void usage(void)
{
        errx(2, "usage: pull-floor [-t THREADS] [-s] [-b] [-k] HOST PORT REPOSITORY DIR < LAYERS");
}

static void parse(int argc, char **argv)
{
        int o;

        while ((o = getopt(argc, argv, "t:sbk")) != -1)
                switch (o) {
                case 't':
                        options.threads = atoi(optarg);
                        break;
                case 's':
                        options.sync = 1;
                        break;
                case 'b':
                        options.blobs = 1;
                        break;
                case 'k':
                        options.keep = 1;
                        break;
                default:
                        usage();
                }
        if (argc - optind != 4 || options.threads < 1 || options.threads > 16)
                usage();
        options.host = argv[optind];
        options.port = atoi(argv[optind + 1]);
        options.repository = argv[optind + 2];
        mkdir(argv[optind + 3], 0755);
        options.dir = open(argv[optind + 3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (options.dir < 0)
                err(1, "%s", argv[optind + 3]);
}

int main(int argc, char **argv)
{
        pthread_t threads[16];

        parse(argc, argv);
        umask(0);
        while (nlayers < MAX_LAYERS &&
               scanf("%79s %lu", layers[nlayers].digest, &layers[nlayers].size) == 2) {
                layers[nlayers].number = nlayers;
                nlayers++;
        }
        qsort(layers, (size_t)nlayers, sizeof *layers, bigger_first);
        for (int i = 0; i < options.threads; i++)
                pthread_create(&threads[i], NULL, worker, NULL);
        for (int i = 0; i < options.threads; i++)
                pthread_join(threads[i], NULL);
        if (options.sync && !options.keep)
                syncfs(options.dir);
        return 0;
}
