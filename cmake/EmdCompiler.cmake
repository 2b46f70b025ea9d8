# Warnings, sanitizers and the definitions that every target shares.
option(EMDTOOLS_WERROR "Treat warnings as errors" OFF)
set(EMDTOOLS_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")

add_compile_options(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
                    -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wno-missing-field-initializers)
if(EMDTOOLS_WERROR)
  add_compile_options(-Werror)
endif()
# 64-bit file offsets everywhere, and the POSIX and Linux interfaces that strict C11 hides.
add_compile_definitions(_GNU_SOURCE _FILE_OFFSET_BITS=64 EMDTOOLS_VERSION="${PROJECT_VERSION}")

if(EMDTOOLS_SANITIZE)
  add_compile_options(-fsanitize=${EMDTOOLS_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all -g)
  add_link_options(-fsanitize=${EMDTOOLS_SANITIZE})
endif()
