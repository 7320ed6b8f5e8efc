#include "cli/show.h"

#include "base/str.h"
#include "cli/format.h"

static bool is_template(const char *format)
{
        return format && !str_eq(format, "json") && !str_eq(format, "{{json .}}");
}

static int parse(struct ctx *c, const struct buf *text, struct json *ret, struct err *e)
{
        return json_parse(&c->arena, buf_str(text), text->len, NULL, ret, NULL) < 0
                       ? err_set(e, ERR_INTERNAL, "what was found can't be read again")
                       : 0;
}

int show_line(struct ctx *c, const struct template *t, const struct json *value, struct buf *out,
              struct err *e)
{
        struct json_writer w = { .out = out };

        if (t && template_run(t, &c->arena, value, out, e) < 0)
                return -1;
        if (!t)
                json_put(&w, NULL, value);
        buf_putc(out, '\n');
        return 0;
}

int show_list(struct ctx *c, const char *format, const struct buf *text, struct buf *out,
              struct err *e)
{
        struct template *t = NULL;
        struct json list;

        if (!is_template(format)) {
                if (!format || str_eq(format, "json")) {
                        buf_add(out, buf_str(text), text->len);
                        buf_putc(out, '\n');
                        return 0;
                }
        } else if (template_parse(&c->arena, format, &t, e) < 0) {
                return -1;
        }
        if (parse(c, text, &list, e) < 0)
                return -1;
        for (uint32_t i = 0; i < list.n; i++)
                if (show_line(c, t, &list.items[i], out, e) < 0)
                        return -1;
        return 0;
}

int show_one(struct ctx *c, const char *format, const struct buf *text, struct buf *out,
             struct err *e)
{
        struct template *t = NULL;
        struct json value;

        if (!is_template(format)) {
                buf_add(out, buf_str(text), text->len);
                buf_putc(out, '\n');
                return 0;
        }
        if (template_parse(&c->arena, format, &t, e) < 0 || parse(c, text, &value, e) < 0)
                return -1;
        return show_line(c, t, &value, out, e);
}
