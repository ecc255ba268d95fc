--- Keep one server running, and every buffer attached to it.
local compat = require("inkling.compat")
local completion = require("inkling.completion")
local config = require("inkling.config")
local find = require("inkling.find")
local languages = require("inkling.languages")
local status = require("inkling.status")

local M = {}

local NAME = "inkling"
local MOST_DEATHS, WITHIN_SECONDS = 5, 180
local LEAVING_MS = 3000 -- what a server gets to leave before it is ended

local current = nil -- the client's id
local buffers = {} -- a set of those that were attached
local deaths = {} -- when the server ended by itself, in seconds
local is_leaving, is_restarting, has_advised = false, false, false

local function say(message, level)
  vim.notify("inkling: " .. message, level or vim.log.levels.INFO)
end

--- Return the file that the server logs to.
function M.log_file()
  local has_state = vim.fn.has("nvim-0.8") == 1
  return vim.fn.stdpath(has_state and "log" or "cache") .. "/inkling.log"
end

--- Return the running client, or nil.
function M.get()
  local client = current and vim.lsp.get_client_by_id(current)
  return client and not compat.is_stopped(client) and client or nil
end

local function capabilities()
  local all = vim.lsp.protocol.make_client_capabilities()
  all.textDocument.inlineCompletion = { dynamicRegistration = false }
  all.experimental = { inkling = { status = true } }
  return all
end

local function root_of(buf)
  local folder = vim.fn.fnamemodify(vim.api.nvim_buf_get_name(buf), ":p:h")
  local found = vim.fn.finddir(".git", vim.fn.escape(folder, " ,;") .. ";")
  if found == "" then
    found = vim.fn.findfile(".git", vim.fn.escape(folder, " ,;") .. ";")
  end
  return found ~= "" and vim.fn.fnamemodify(found, ":p:s?/$??:h") or nil
end

local function folder_of(buf)
  local root = root_of(buf)
  return root and { uri = vim.uri_from_fname(root), name = vim.fn.fnamemodify(root, ":t") }
end

--- Tell the server of the folder that a buffer belongs to, so that its ignore files count.
local function add_folder(client, buf)
  local folder = folder_of(buf)
  if not folder then
    return
  end
  client.workspace_folders = client.workspace_folders or {}
  for _, known in ipairs(client.workspace_folders) do
    if known.uri == folder.uri then
      return
    end
  end
  table.insert(client.workspace_folders, folder)
  local event = { added = { folder }, removed = {} }
  compat.notify(client, "workspace/didChangeWorkspaceFolders", { event = event })
end

local function show_natively(client, is_native)
  if vim.lsp.inline_completion then
    vim.lsp.inline_completion.enable(is_native, { client_id = client.id })
  end
end

local function on_attach(client, buf)
  current, buffers[buf] = client.id, true
  add_folder(client, buf)
  show_natively(client, config.options.native)
  if not config.options.native then
    completion.attach(client, buf)
  end
  if status.known().enable == nil then
    M.execute("inkling.status")
  end
end

local function start_all()
  for buf in pairs(buffers) do
    if vim.api.nvim_buf_is_loaded(buf) then
      M.attach(buf)
    else
      buffers[buf] = nil
    end
  end
end

--- Start the server once more, unless it ends again and again.
local function revive()
  local now = os.time()
  table.insert(deaths, now)
  deaths = vim.tbl_filter(function(at)
    return now - at < WITHIN_SECONDS
  end, deaths)
  if #deaths < MOST_DEATHS then
    vim.defer_fn(start_all, 100 * 2 ^ #deaths)
    return
  end
  local advice = ":Inkling log says why, :Inkling restart tries again"
  say(("the server ended %d times; %s"):format(#deaths, advice), vim.log.levels.ERROR)
end

local function on_exit(code, signal, id)
  vim.schedule(function()
    if is_leaving or id ~= current then
      return
    end
    current = nil
    completion.detach(id)
    status.reset("stopped")
    if is_restarting then
      is_restarting = false
      start_all()
    elseif code ~= 0 or signal ~= 0 then
      revive()
    end
  end)
end

local function settings()
  local given = config.options.settings
  return next(given) and given or vim.empty_dict()
end

local function command_line()
  local program = find.command()
  local arguments = { "lsp", "--log-file", M.log_file() }
  return vim.list_extend(
    vim.list_extend(vim.deepcopy(program or { "inkling" }), arguments),
    config.options.args
  )
end

--- Return what Neovim's LSP client is started with; `lsp/inkling.lua` is this.
function M.config()
  return {
    name = NAME,
    cmd = command_line(),
    -- A program that is a module of Python's would find the project's modules first.
    cmd_cwd = compat.uv.os_homedir(),
    init_options = settings(),
    settings = { inkling = settings() },
    capabilities = capabilities(),
    get_language_id = function(_, filetype)
      return languages.id(filetype)
    end,
    -- One server holds one model, whatever folders there are.
    reuse_client = function(client)
      return client.name == NAME and not compat.is_stopped(client)
    end,
    handlers = {
      ["inkling/status"] = function(_, news)
        status.tell(news)
      end,
    },
    on_attach = on_attach,
    on_exit = on_exit,
  }
end

local function is_wanted(buf)
  local filetypes, filetype = config.options.filetypes, vim.bo[buf].filetype
  return vim.api.nvim_buf_is_loaded(buf)
    and vim.bo[buf].buftype == ""
    and filetype ~= ""
    and vim.api.nvim_buf_get_name(buf) ~= ""
    and (#filetypes == 0 or vim.tbl_contains(filetypes, filetype))
end

--- Attach a buffer, with a server started for it if none runs.
function M.attach(buf)
  if not is_wanted(buf) or is_restarting then
    return
  end
  if not find.command() then
    status.reset("missing", find.advice())
    if not has_advised then
      has_advised = true
      say(find.advice(), vim.log.levels.WARN)
    end
    return
  end
  local client = M.get()
  if client then
    vim.lsp.buf_attach_client(buf, client.id)
    return
  end
  if #deaths >= MOST_DEATHS then
    return
  end
  buffers[buf] = true
  local folder, options = folder_of(buf), M.config()
  options.workspace_folders = folder and { folder } or nil
  status.reset("starting")
  current = compat.start(options, buf)
  if not current then
    status.reset("failed", "it cannot be started: " .. table.concat(options.cmd, " "))
  end
end

--- Attach every buffer that there is.
function M.attach_all()
  for _, buf in ipairs(vim.api.nvim_list_bufs()) do
    M.attach(buf)
  end
end

--- Have the server leave and another one take its place.
function M.restart()
  deaths, has_advised = {}, false
  local client = M.get()
  if client then
    is_restarting = true
    compat.stop(client)
    vim.defer_fn(function()
      if is_restarting then
        compat.stop(client, true)
      end
    end, LEAVING_MS)
  else
    M.attach_all()
  end
end

--- Run a command of the server; `on_result` takes what it returns.
function M.execute(name, arguments, on_result)
  local client = M.get()
  if not client then
    return say("no server runs; :Inkling status says why", vim.log.levels.WARN)
  end
  local params = { command = name, arguments = arguments or {} }
  compat.request(client, "workspace/executeCommand", params, function(err, result)
    if err then
      return say(err.message, vim.log.levels.ERROR)
    end
    if type(result) == "table" and result.enable ~= nil then
      local enable, level = result.enable, result.level
      status.tell({ enable = enable, level = level, languages = result.languages })
    end
    if on_result then
      on_result(result)
    end
  end, vim.api.nvim_get_current_buf())
end

--- Return the names of the server's commands.
function M.commands()
  local client = M.get()
  local provider = client and client.server_capabilities.executeCommandProvider
  return provider and provider.commands or {}
end

--- Start with buffers that get a file type from now on.
function M.follow_buffers(group)
  vim.api.nvim_create_autocmd({ "FileType", "BufFilePost", "BufWritePost" }, {
    group = group,
    callback = function(event)
      M.attach(event.buf)
    end,
  })
  vim.api.nvim_create_autocmd("VimLeavePre", {
    group = group,
    callback = function()
      is_leaving = true
    end,
  })
end

status.listen(function(known)
  if known.state == "ready" then
    completion.refresh()
  end
end)

return M
