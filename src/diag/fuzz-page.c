/* Whatever a target calls itself, the page sends a terminal nothing but text, its own line ends
 * and its own colors. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/safe.h"
#include "base/str.h"
#include "diag/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct buf *b)
{
        for (size_t i = 0; i < b->len; i++) {
                unsigned char c = (unsigned char)b->s[i];

                if ((c < 0x20 && c != '\n') || c == 0x7f)
                        abort();
                /* A C1 control as UTF-8, and bidirectional overrides. */
                if (c == 0xc2 && i + 1 < b->len && (unsigned char)b->s[i + 1] < 0xa0)
                        abort();
                if (c == 0xe2 && i + 2 < b->len && (unsigned char)b->s[i + 1] == 0x80 &&
                    (unsigned char)b->s[i + 2] >= 0xaa && (unsigned char)b->s[i + 2] <= 0xae)
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF out = { 0 };
        AUTO_BUF safe = { 0 };
        AUTO_BUF cut = { 0 };
        const char *text = arena_strndup(&a, (const char *)data, size);
        struct page p;

        if (size > 1 << 14)
                return 0;
        page_init(&p, &out, 60 + size % 60, false, size % 7 == 0);
        page_title(&p, PAGE_STRONG, text);
        page_section(&p, "SECTION");
        page_row(&p, "row");
        page_item(&p, PAGE_PLAIN, "%s", text);
        page_word(&p, PAGE_WARN, "%s", text);
        page_path(&p, PAGE_PLAIN, "<- ", text);
        page_row(&p, "another");
        page_text(&p, PAGE_PLAIN, text);
        page_end(&p);
        check(&out);
        safe_add(&safe, (const char *)data, size);
        check(&safe);
        safe_elide(&cut, buf_str(&safe), 20);
        check(&cut);
        if (safe_columns(buf_str(&cut), cut.len) > 20)
                abort();
        return 0;
}
