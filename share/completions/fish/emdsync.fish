# fish completion for emdsync
complete -c emdsync -x -a '(__fish_complete_directories)'
complete -c emdsync -l interval -x -d 'pause between two copies, in seconds'
complete -c emdsync -l once -d 'copy once and exit'
complete -c emdsync -s q -l quiet -d 'print only errors'
complete -c emdsync -s h -l help -d 'print this help and exit'
complete -c emdsync -s V -l version -d 'print the version and exit'
