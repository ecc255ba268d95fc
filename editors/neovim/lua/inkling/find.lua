--- Find the program `inkling` where people install it. A workspace has no say in that.
local compat = require("inkling.compat")
local config = require("inkling.config")

local M = {}

local IS_WINDOWS = vim.fn.has("win32") == 1
local NAME = IS_WINDOWS and "inkling.exe" or "inkling"

local function folders()
  local home, environment = compat.uv.os_homedir(), vim.env.VIRTUAL_ENV
  local active = environment and environment .. (IS_WINDOWS and "/Scripts" or "/bin") or nil
  return {
    { "the active virtual environment", active },
    { "uv's tools", vim.env.UV_TOOL_BIN_DIR or vim.env.XDG_BIN_HOME },
    { "pipx's programs", vim.env.PIPX_BIN_DIR },
    { "uv's and pipx's programs", home .. "/.local/bin" },
  }
end

--- Return the program with the arguments that come first, and who says so; nil if there is none.
function M.command()
  local named = config.options.command
  if #named > 0 then
    local is_there = vim.fn.executable(named[1]) == 1
    return is_there and named or nil, 'the option "command"'
  end
  for _, place in ipairs(folders()) do
    local program = place[2] and place[2] .. "/" .. NAME
    if program and vim.fn.executable(program) == 1 then
      return { program }, place[1]
    end
  end
  local program = vim.fn.exepath("inkling")
  return program ~= "" and { program } or nil, "PATH"
end

--- Return the one command that installs it here.
function M.install_command()
  for _, installer in ipairs({ "uv tool", "pipx" }) do
    if vim.fn.executable(vim.split(installer, " ")[1]) == 1 then
      return installer .. " install inkling-lsp"
    end
  end
  return "python3 -m pip install --user inkling-lsp"
end

--- Return a sentence for whoever has no program.
function M.advice()
  local named = config.options.command[1]
  if named then
    return ('%s cannot be run; the option "command" names it'):format(named)
  end
  return ("the program inkling is not installed; `%s` installs it, then :Inkling restart"):format(
    M.install_command()
  )
end

return M
