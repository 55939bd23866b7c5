namespace Gateway;

/// <summary>Gateway can't start. The message says where, what, what is allowed and what to do; nothing is left bound.</summary>
public sealed class GatewayStartException : Exception
{
    /// <summary>Creates it.</summary>
    /// <param name="message">Where, what, what is allowed, what to do.</param>
    /// <param name="badInput">Whether configuration is at fault (exit code 2) rather than the world (1).</param>
    public GatewayStartException(string message, bool badInput)
        : base(message) => BadInput = badInput;

    /// <summary>Creates it without a message.</summary>
    public GatewayStartException()
    {
    }

    /// <summary>Creates it for a failure of the world.</summary>
    public GatewayStartException(string message)
        : base(message)
    {
    }

    /// <summary>Creates it for a failure of the world with its cause.</summary>
    public GatewayStartException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Whether configuration is at fault (exit code 2) rather than the world (1).</summary>
    public bool BadInput { get; }
}
