--- LSP's language ids, where Vim's file types have another name.
local M = {}

local IDS = {
  bash = "shellscript",
  cs = "csharp",
  make = "makefile",
  objc = "objective-c",
  objcpp = "objective-cpp",
  ps1 = "powershell",
  rst = "restructuredtext",
  sh = "shellscript",
  tex = "latex",
  text = "plaintext",
  zsh = "shellscript",
}

--- Return LSP's name for a file type.
function M.id(filetype)
  return IDS[filetype] or filetype
end

return M
