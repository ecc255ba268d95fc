" Inkling in Vim 9 with ALE: source this from your vimrc.
" Vim draws no ghost text from a server; suggestions come in the completion menu (CTRL-X CTRL-O),
" code actions with :ALECodeAction.
packadd! ale " leave this out where a plugin manager loads ALE

function! s:Root(buffer) abort
  let l:git = ale#path#FindNearestDirectory(a:buffer, '.git')
  return empty(l:git) ? fnamemodify(bufname(a:buffer), ':p:h') : fnamemodify(l:git, ':h:h')
endfunction

function! s:Define() abort
  let g:ale_linters = get(g:, 'ale_linters', {})
  " The languages that you want it in, as Vim names them.
  for l:filetype in ['c', 'cpp', 'go', 'java', 'javascript', 'lua', 'python', 'ruby', 'rust', 'sh',
        \ 'typescript']
    call ale#linter#Define(l:filetype, {
    \ 'name': 'inkling', 'lsp': 'stdio', 'executable': 'inkling', 'command': '%e lsp',
    \ 'project_root': function('s:Root')})
    " What else ALE runs for a language has to be named from now on.
    let g:ale_linters[l:filetype] = get(g:ale_linters, l:filetype, []) + ['inkling']
    execute 'autocmd inkling FileType' l:filetype 'setlocal omnifunc=ale#completion#OmniFunc'
  endfor
endfunction

augroup inkling
  autocmd!
  autocmd VimEnter * ++nested call s:Define() | doautoall inkling FileType
augroup END
