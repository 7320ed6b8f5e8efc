#include "codec/criu-rpc.h"

#include <errno.h>
#include <string.h>

enum kind { BOOL, INT, UINT, STRING, STRINGS, MESSAGE, MESSAGES };

struct message;
struct field {
        uint8_t number;
        uint8_t kind;
        bool always; /* encoded even where it is zero; missed where it is absent */
        uint16_t offset;
        uint16_t count;            /* MESSAGES: where the number of them is */
        const struct message *sub; /* MESSAGE: through a pointer; MESSAGES: an array */
};

struct message {
        size_t size;
        const struct field *fields; /* ended by number 0 */
};

#define FIELD(T, n, kind_, f)                                                                      \
        {                                                                                          \
                .number = n, .kind = kind_, .offset = offsetof(T, f)                               \
        }
#define REQUIRED(T, n, kind_, f)                                                                   \
        {                                                                                          \
                .number = n, .kind = kind_, .offset = offsetof(T, f), .always = true               \
        }
#define NESTED(T, n, f, sub_)                                                                      \
        {                                                                                          \
                .number = n, .kind = MESSAGE, .offset = offsetof(T, f), .sub = &sub_               \
        }
#define REPEATED(T, n, f, sub_)                                                                    \
        {                                                                                          \
                .number = n, .kind = MESSAGES, .offset = offsetof(T, f),                           \
                .count = offsetof(T, n_##f), .sub = &sub_                                          \
        }

static const struct message page_server = {
        sizeof(struct criu_page_server),
        (const struct field[]){ FIELD(struct criu_page_server, 1, STRING, address),
                                FIELD(struct criu_page_server, 2, INT, port),
                                {} },
};

static const struct message inherited = {
        sizeof(struct criu_inherited),
        (const struct field[]){ FIELD(struct criu_inherited, 1, STRING, key),
                                REQUIRED(struct criu_inherited, 2, INT, fd),
                                {} },
};

static const struct message pair = {
        sizeof(struct key_value),
        (const struct field[]){ FIELD(struct key_value, 1, STRING, key),
                                FIELD(struct key_value, 2, STRING, value),
                                {} },
};

static const struct message features = {
        sizeof(struct criu_features),
        (const struct field[]){ FIELD(struct criu_features, 1, BOOL, mem_track),
                                FIELD(struct criu_features, 2, BOOL, lazy_pages),
                                {} },
};

static const struct message opts = {
        sizeof(struct criu_opts),
        (const struct field[]){
                REQUIRED(struct criu_opts, 1, INT, images_dir_fd),
                FIELD(struct criu_opts, 2, INT, pid),
                FIELD(struct criu_opts, 3, BOOL, leave_running),
                FIELD(struct criu_opts, 4, BOOL, ext_unix_sk),
                FIELD(struct criu_opts, 5, BOOL, tcp_established),
                FIELD(struct criu_opts, 6, BOOL, evasive_devices),
                FIELD(struct criu_opts, 7, BOOL, shell_job),
                FIELD(struct criu_opts, 8, BOOL, file_locks),
                FIELD(struct criu_opts, 9, INT, log_level),
                FIELD(struct criu_opts, 10, STRING, log_file),
                NESTED(struct criu_opts, 11, page_server, page_server),
                FIELD(struct criu_opts, 12, BOOL, notify_scripts),
                FIELD(struct criu_opts, 13, STRING, root),
                FIELD(struct criu_opts, 14, STRING, parent_img),
                FIELD(struct criu_opts, 15, BOOL, track_mem),
                FIELD(struct criu_opts, 16, BOOL, auto_dedup),
                FIELD(struct criu_opts, 17, INT, work_dir_fd),
                FIELD(struct criu_opts, 18, BOOL, link_remap),
                FIELD(struct criu_opts, 24, BOOL, manage_cgroups),
                REPEATED(struct criu_opts, 25, cgroup_roots, pair),
                FIELD(struct criu_opts, 26, BOOL, rst_sibling),
                REPEATED(struct criu_opts, 27, inherited, inherited),
                REQUIRED(struct criu_opts, 34, INT, cgroups_mode),
                FIELD(struct criu_opts, 37, STRINGS, external),
                FIELD(struct criu_opts, 38, UINT, empty_ns),
                REPEATED(struct criu_opts, 39, join_ns, pair),
                FIELD(struct criu_opts, 44, STRING, freeze_cgroup),
                FIELD(struct criu_opts, 46, BOOL, tcp_skip_in_flight),
                FIELD(struct criu_opts, 48, BOOL, lazy_pages),
                FIELD(struct criu_opts, 50, BOOL, orphan_pts_master),
                FIELD(struct criu_opts, 51, STRING, config_file),
                FIELD(struct criu_opts, 52, BOOL, tcp_close),
                FIELD(struct criu_opts, 53, STRING, lsm_profile),
                FIELD(struct criu_opts, 63, STRING, lsm_mount_context),
                {},
        },
};

static const struct message request = {
        sizeof(struct criu_request),
        (const struct field[]){ REQUIRED(struct criu_request, 1, INT, type),
                                NESTED(struct criu_request, 2, opts, opts),
                                FIELD(struct criu_request, 3, BOOL, notify_success),
                                FIELD(struct criu_request, 4, BOOL, keep_open),
                                NESTED(struct criu_request, 5, features, features),
                                {} },
};

static const struct message restored = {
        sizeof(struct criu_restored),
        (const struct field[]){ FIELD(struct criu_restored, 1, INT, pid), {} },
};

static const struct message notify = {
        sizeof(struct criu_notify),
        (const struct field[]){ FIELD(struct criu_notify, 1, STRING, script),
                                FIELD(struct criu_notify, 2, INT, pid),
                                {} },
};

static const struct message version = {
        sizeof(struct criu_version),
        (const struct field[]){ FIELD(struct criu_version, 1, INT, major),
                                FIELD(struct criu_version, 2, INT, minor),
                                FIELD(struct criu_version, 3, STRING, gitid),
                                FIELD(struct criu_version, 4, INT, sublevel),
                                {} },
};

static const struct message response = {
        sizeof(struct criu_response),
        (const struct field[]){ REQUIRED(struct criu_response, 1, INT, type),
                                REQUIRED(struct criu_response, 2, BOOL, success),
                                NESTED(struct criu_response, 4, restored, restored),
                                NESTED(struct criu_response, 5, notify, notify),
                                FIELD(struct criu_response, 7, INT, sys),
                                NESTED(struct criu_response, 8, features, features),
                                FIELD(struct criu_response, 9, STRING, message),
                                NESTED(struct criu_response, 10, version, version),
                                {} },
};

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* ---- encoding ---- */

static void put_varint(struct buf *out, uint64_t v)
{
        while (v >= 0x80) {
                buf_putc(out, (char)(v | 0x80));
                v >>= 7;
        }
        buf_putc(out, (char)v);
}

static void put_bytes(struct buf *out, unsigned number, const void *p, size_t n)
{
        put_varint(out, number << 3 | WIRE_BYTES);
        put_varint(out, n);
        buf_add(out, p, n);
}

static void put_number(struct buf *out, const struct field *f, uint64_t v)
{
        if (v == 0 && !f->always)
                return;
        put_varint(out, (unsigned)f->number << 3 | WIRE_VARINT);
        put_varint(out, v);
}

static void put_message(struct buf *out, const struct message *m, const void *from);

static void put_nested(struct buf *out, const struct field *f, const void *from)
{
        AUTO_BUF sub = { 0 };

        put_message(&sub, f->sub, from);
        put_bytes(out, f->number, buf_str(&sub), sub.len);
}

static void put_nested_all(struct buf *out, const struct field *f, const char *v, size_t n)
{
        for (size_t i = 0; i < n; i++)
                put_nested(out, f, v + i * f->sub->size);
}

static void put_field(struct buf *out, const struct field *f, const char *from)
{
        const void *at = from + f->offset;
        const struct strings *list = at;
        const char *s;

        switch (f->kind) {
        case BOOL:
                put_number(out, f, *(const bool *)at);
                break;
        case INT: /* a negative one takes ten bytes, as the encoding has it */
                put_number(out, f, (uint64_t)(int64_t) * (const int32_t *)at);
                break;
        case UINT:
                put_number(out, f, *(const uint32_t *)at);
                break;
        case STRING:
                memcpy(&s, at, sizeof s);
                if (s)
                        put_bytes(out, f->number, s, strlen(s));
                break;
        case STRINGS:
                for (size_t i = 0; i < list->n; i++)
                        put_bytes(out, f->number, list->v[i], strlen(list->v[i]));
                break;
        case MESSAGE:
                memcpy(&s, at, sizeof s);
                if (s)
                        put_nested(out, f, s);
                break;
        case MESSAGES:
                memcpy(&s, at, sizeof s);
                put_nested_all(out, f, s, *(const size_t *)(const void *)(from + f->count));
                break;
        }
}

static void put_message(struct buf *out, const struct message *m, const void *from)
{
        for (const struct field *f = m->fields; f->number; f++)
                put_field(out, f, from);
}

void criu_request_encode(const struct criu_request *r, struct buf *out)
{
        put_message(out, &request, r);
}

/* ---- decoding ---- */

struct input {
        const uint8_t *p, *end;
};

static int get_varint(struct input *in, uint64_t *ret)
{
        uint64_t v = 0;

        for (unsigned shift = 0; shift < 70; shift += 7) {
                uint8_t byte;

                if (in->p == in->end)
                        return -EBADMSG;
                byte = *in->p++;
                if (shift == 63 && byte > 1)
                        return -EBADMSG;
                v |= (uint64_t)(byte & 0x7f) << shift;
                if (!(byte & 0x80)) {
                        *ret = v;
                        return 0;
                }
        }
        return -EBADMSG;
}

static int get_bytes(struct input *in, struct input *ret)
{
        uint64_t n;

        if (get_varint(in, &n) < 0 || n > (uint64_t)(in->end - in->p))
                return -EBADMSG;
        ret->p = in->p;
        in->p += n;
        ret->end = in->p;
        return 0;
}

static int skip(struct input *in, enum wire wire)
{
        struct input bytes;
        uint64_t number;
        size_t n = wire == WIRE_FIXED64 ? 8 : 4;

        if (wire == WIRE_VARINT)
                return get_varint(in, &number);
        if (wire == WIRE_BYTES)
                return get_bytes(in, &bytes);
        if ((wire != WIRE_FIXED64 && wire != WIRE_FIXED32) || (size_t)(in->end - in->p) < n)
                return -EBADMSG;
        in->p += n;
        return 0;
}

static int get_message(struct arena *a, const struct message *m, struct input in, void *to);

static int get_string(struct arena *a, struct input *in, void *at)
{
        struct input bytes;
        const char *s;

        if (get_bytes(in, &bytes) < 0 || memchr(bytes.p, 0, (size_t)(bytes.end - bytes.p)))
                return -EBADMSG;
        s = arena_strndup(a, (const char *)bytes.p, (size_t)(bytes.end - bytes.p));
        memcpy(at, &s, sizeof s);
        return 0;
}

/* Once more the same message: the encoding wants them merged. */
static int get_nested(struct arena *a, const struct field *f, struct input *in, void *at)
{
        struct input bytes;
        void *sub;

        if (get_bytes(in, &bytes) < 0)
                return -EBADMSG;
        memcpy(&sub, at, sizeof sub);
        if (!sub)
                sub = arena_alloc(a, f->sub->size);
        memcpy(at, &sub, sizeof sub);
        return get_message(a, f->sub, bytes, sub);
}

static int get_number(const struct field *f, struct input *in, void *at)
{
        uint64_t v;

        if (get_varint(in, &v) < 0)
                return -EBADMSG;
        if (f->kind == BOOL)
                *(bool *)at = v != 0;
        else
                *(int32_t *)at = (int32_t)(uint32_t)v;
        return 0;
}

static int get_field(struct arena *a, const struct field *f, enum wire wire, struct input *in,
                     char *to)
{
        void *at = to + f->offset;

        if (wire != (f->kind == STRING || f->kind == MESSAGE ? WIRE_BYTES : WIRE_VARINT))
                return -EBADMSG;
        if (f->kind == STRING)
                return get_string(a, in, at);
        return f->kind == MESSAGE ? get_nested(a, f, in, at) : get_number(f, in, at);
}

static const struct field *find_field(const struct message *m, uint64_t number)
{
        const struct field *f = m->fields;

        while (f->number && f->number != number)
                f++;
        return f->number ? f : NULL;
}

static int get_message(struct arena *a, const struct message *m, struct input in, void *to)
{
        uint64_t seen = 0;

        while (in.p < in.end) {
                const struct field *f;
                uint64_t key;
                int r = get_varint(&in, &key);

                if (r < 0 || key >> 3 == 0)
                        return -EBADMSG;
                f = find_field(m, key >> 3);
                r = f ? get_field(a, f, key & 7, &in, to) : skip(&in, key & 7);
                if (r < 0)
                        return r;
                if (f)
                        seen |= UINT64_C(1) << (f - m->fields);
        }
        for (const struct field *f = m->fields; f->number; f++)
                if (f->always && !(seen >> (f - m->fields) & 1))
                        return -EBADMSG;
        return 0;
}

int criu_response_decode(struct arena *a, const void *p, size_t n, struct criu_response *ret)
{
        const uint8_t *bytes = p;

        *ret = (struct criu_response){ 0 };
        return get_message(a, &response, (struct input){ bytes, bytes + n }, ret);
}
