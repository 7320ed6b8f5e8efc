/* State files and engines' indexes, which users without privilege may have written; and programs
 * that a kernel would have verified, but that come from whoever attached them. */
#include <linux/bpf.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "diag/device-program.h"
#include "diag/owner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void json(struct arena *a, const uint8_t *data, size_t size)
{
        static const struct json_limits limits = { 1 << 20, 64, 8 << 20 };
        struct owner_clue clue = { 0 };
        struct owner_state state;
        struct json j;

        if (json_parse(a, (const char *)data, size, &limits, &j, NULL) < 0)
                return;
        if (owner_from_state(a, &j, &state) && (state.pid <= 0 || state.pid > INT32_MAX))
                abort();
        owner_from_annotations(&j, &clue);
        owner_from_storage(a, &j, "a", &clue);
        owner_from_docker(&j, &clue);
        owner_storage_id(&j, "web");
}

static void arguments(struct arena *a, const uint8_t *data, size_t size)
{
        const char *args[8];
        size_t n = 0;
        struct owner_clue clue;

        for (size_t at = 0; at < size && n < ARRAY_SIZE(args); at += strlen(args[n++]) + 1)
                args[n] = arena_strndup(a, (const char *)data + at,
                                        strnlen((const char *)data + at, size - at));
        owner_from_args(a, args, n, &clue);
}

static void program(struct arena *a, const uint8_t *data, size_t size)
{
        size_t n = size / sizeof(struct bpf_insn);
        struct bpf_insn *insns = arena_array(a, struct bpf_insn, n + 1);
        struct device_ask ask = { 'c', 1, 3, DEVICE_ASK_READ };

        if (n)
                memcpy(insns, data, n * sizeof *insns);
        if (device_program_ask(insns, n, &ask) > 1)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };

        json(&a, data, size);
        arguments(&a, data, size);
        program(&a, data, size);
        return 0;
}
