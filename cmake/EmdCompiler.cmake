# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
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

# What the compiler makes code for, which is not always what the machine is.
include(CheckSymbolExists)
check_symbol_exists(__x86_64__ stddef.h EMD_X86_64)
check_symbol_exists(__i386__ stddef.h EMD_I386)
check_symbol_exists(__aarch64__ stddef.h EMD_AARCH64)

if(CMAKE_C_BYTE_ORDER STREQUAL "BIG_ENDIAN")
  message(FATAL_ERROR "emdtools is for little-endian machines: so are the formats that it reads as they are")
endif()

# Floating point steers encoders and simulators, whose bytes are the same on every machine: no fused
# multiply-add, no registers wider than a double.
add_compile_options(-ffp-contract=off)
if(EMD_I386)
  add_compile_options(-msse2 -mfpmath=sse)
endif()

if(EMDTOOLS_SANITIZE)
  add_compile_options(-fsanitize=${EMDTOOLS_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all -g)
  add_link_options(-fsanitize=${EMDTOOLS_SANITIZE})
endif()
