# fish completion for h5plugin-config
complete -c h5plugin-config -f
complete -c h5plugin-config -l plugindir -d 'directory of the plugins'
complete -c h5plugin-config -l env -x -a 'sh csh fish' -d 'commands that set HDF5_PLUGIN_PATH'
complete -c h5plugin-config -l list -d 'the plugins'
complete -c h5plugin-config -n '__fish_seen_argument -l list' -l json -d 'as JSON'
complete -c h5plugin-config -l doctor -r -F -d 'what HDF5 finds, and whether a file can be read'
complete -c h5plugin-config -l h5repack -x -a 'fast small portable edc' -d 'options of h5repack'
complete -c h5plugin-config -l h5py -x -a 'fast small portable edc' -d 'arguments of h5py'
complete -c h5plugin-config -l decode -x -a '1 2 32001 32008 32015 33200' -d 'stored parameters in words'
complete -c h5plugin-config -l cflags -d 'compiler options'
complete -c h5plugin-config -l libs -d 'linker options'
complete -c h5plugin-config -s h -l help -d 'print this help and exit'
complete -c h5plugin-config -s V -l version -d 'print the version and exit'
