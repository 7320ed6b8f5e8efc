/* --env-file: each variable has a name. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        AUTO_ARENA a = { 0 };
        struct err e = { 0 };
        struct strings env = { 0 };

        if (settings_env_text(&a, "file", arena_strndup(&a, (const char *)data, n), n, &env, &e) <
            0)
                return 0;
        for (size_t i = 0; i < env.n; i++) {
                if (!strchr(env.v[i], '=') || env.v[i][0] == '=' || strchr(env.v[i], '\n'))
                        abort();
                settings_expand(&a, env.v[i], &env);
        }
        return 0;
}
