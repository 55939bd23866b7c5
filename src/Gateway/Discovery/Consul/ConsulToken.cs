using Gateway.Catalog;
using Microsoft.Win32.SafeHandles;

namespace Gateway.Discovery.Consul;

/// <summary>The ACL token in a file. It is rotated under us, so every request looks whether the file is still the same.</summary>
internal sealed class ConsulToken(string? path)
{
    private readonly Lock _gate = new();
    private (DateTime Written, long Length) _seen;
    private string? _token;
    private string? _error;

    /// <summary>What is wrong with the file at the moment, or null. The last good token stays in use.</summary>
    public Problem? Problem
    {
        get
        {
            lock (_gate)
            {
                return _error is null ? null : new Problem
                {
                    Code = ProblemCodes.ConsulTokenUnreadable,
                    Place = path!,
                    Value = _error,
                    ValueMoves = true,
                    Allowed = "a readable file holding one token",
                    Now = _token is null
                        ? "asking without a token; make the file readable for this process"
                        : "asking with the token read before; make the file readable for this process",
                };
            }
        }
    }

    /// <summary>The token to send now, or null.</summary>
    public string? Current()
    {
        if (path is null)
        {
            return null;
        }

        lock (_gate)
        {
            try
            {
                // Opened, not stat'ed by name: a Kubernetes secret is a link through a link, whose own times never change.
                using SafeFileHandle file = File.OpenHandle(path);
                (DateTime, long) now = (File.GetLastWriteTimeUtc(file), RandomAccess.GetLength(file));
                if (now == _seen && _error is null)
                {
                    return _token;
                }

                string text = File.ReadAllText(path).Trim();
                if (text.Length is 0 or > 4096 || text.AsSpan().IndexOfAnyExceptInRange('!', '~') >= 0)
                {
                    _error = text.Length == 0 ? "empty" : "not one token";
                    return _token;
                }

                (_token, _seen, _error) = (text, now, null);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                _error = e.Message;
            }

            return _token;
        }
    }

    /// <summary>Consul refused the token: read the file again whatever its times say.</summary>
    public void Forget()
    {
        lock (_gate)
        {
            _seen = default;
        }
    }
}
